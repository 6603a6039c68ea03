resource "google_cloud_run_v2_service" "api" {
  name                = "trading-data-api"
  location            = var.region
  ingress             = var.api_ingress
  deletion_protection = local.is_protected

  # IAM asks each caller who they are, and API_AUTHENTICATION says that this is enough.
  invoker_iam_disabled = false

  template {
    service_account                  = google_service_account.this["api"].email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "60s"
    max_instance_request_concurrency = 20

    scaling {
      min_instance_count = 0
      # Each counts for itself what it has started within the hour.
      max_instance_count = 1
    }

    containers {
      image = var.image
      args  = ["serve", "--host", "0.0.0.0"]

      ports {
        container_port = 8080
      }

      resources {
        limits = {
          cpu    = "1"
          memory = "1Gi"
        }
      }

      # Not /health, which tells of the data: a service without data starts all the same, and says so.
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
          ARCHIVE_URI        = "gs://${google_storage_bucket.archive.name}/archive"
          API_AUTHENTICATION = "cloud_run"
          TRIGGER_JOB        = "projects/${var.project}/locations/${var.region}/jobs/trading-data"
        }

        content {
          name  = env.key
          value = env.value
        }
      }
    }

    vpc_access {
      egress = "ALL_TRAFFIC"

      network_interfaces {
        network    = google_compute_network.this.id
        subnetwork = google_compute_subnetwork.this.id
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  # Cloud Run refuses a service whose account cannot read its secrets.
  depends_on = [google_secret_manager_secret_iam_member.this, google_project_service.this]

  # Which image serves whom is the delivery's (infra/delivery), which shifts the traffic step by step.
  lifecycle {
    ignore_changes = [annotations, client, client_version, template[0].containers[0].image, traffic]
  }
}
