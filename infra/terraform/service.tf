resource "google_cloud_run_v2_service" "api" {
  name                = "trading-data-api"
  location            = var.region
  ingress             = var.api_ingress
  deletion_protection = local.is_protected

  # IAM authenticates each caller, and API_AUTHENTICATION tells the service that this is enough.
  invoker_iam_disabled = false

  template {
    service_account                  = google_service_account.this["api"].email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "${var.service.timeout_seconds}s"
    max_instance_request_concurrency = var.service.concurrency

    scaling {
      min_instance_count = var.service.min_instances
      max_instance_count = var.service.max_instances
    }

    containers {
      image = var.image
      args  = ["serve", "--host", "0.0.0.0"]

      ports {
        container_port = 8080
      }

      resources {
        # CPU only during requests and at the start: a warm instance then costs a quarter. Without this line, Cloud Run
        # bills every second.
        cpu_idle          = true
        startup_cpu_boost = true

        limits = {
          cpu    = var.service.cpu
          memory = var.service.memory
        }
      }

      # Not /health, which depends on the data: a service without data must start too, and says that it has none.
      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 30

        http_get {
          path = "/live"
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3

        http_get {
          path = "/live"
        }
      }

      dynamic "env" {
        for_each = {
          BIGQUERY_PROJECT   = var.project
          BIGQUERY_DATASET   = local.dataset
          BIGQUERY_LOCATION  = var.region
          ARCHIVE_URI        = local.live_archive
          LEASE_URI          = local.jobs.live.lease
          API_AUTHENTICATION = "cloud_run"
          TRIGGER_JOB        = "projects/${var.project}/locations/${var.region}/jobs/${local.jobs.triggered.name}"
          ORDERS_URI         = local.orders
        }

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  # Cloud Run refuses a service whose account cannot read its secrets.
  depends_on = [google_secret_manager_secret_iam_member.this, google_project_service.this]

  # infra/delivery sets the image, the traffic and the names of revisions.
  lifecycle {
    ignore_changes = [
      annotations, client, client_version, template[0].annotations, template[0].containers[0].image, template[0].labels,
      template[0].revision, traffic,
    ]

    precondition {
      condition     = var.image != null
      error_message = "image is not set: push the first image, and name it in environments/ by its digest (infra/README.md, \"Deploy from nothing\")."
    }
  }
}
