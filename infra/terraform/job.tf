locals {
  job_secrets = merge(
    { KITE_API_KEY = "kite-api-key" },
    var.has_alpha_vantage ? { ALPHA_VANTAGE_API_KEY = "alpha-vantage-api-key" } : {},
    var.has_alert_webhook ? { ALERT_WEBHOOK_URL = "alert-webhook-url" } : {},
  )

  live_archive    = "gs://${google_storage_bucket.archive.name}/archive"
  orders          = "gs://${google_storage_bucket.short_lived["orders"].name}/trading-data"
  scratch_archive = "gs://${google_storage_bucket.short_lived["scratch"].name}/archive"

  live_lease = "gs://${google_storage_bucket.short_lived["leases"].name}/trading-data"

  live_job = {
    name    = "trading-data"
    account = "pipeline"
    args    = ["run"]
    timeout = var.job.timeout_seconds
    dataset = local.dataset
    archive = local.live_archive
    lease   = local.live_lease
    secrets = local.job_secrets
  }

  # The API starts the triggered job, which reads what to fetch from the orders; it is the live one otherwise. The
  # candidate replays the live archive, and writes only to its own datasets and bucket, with its own account. It tests
  # a release, and once a month it is the drill of a restore. The watch checks that the day's bars are there.
  jobs = {
    live      = local.live_job
    triggered = merge(local.live_job, { name = "trading-data-triggered", args = ["ordered"] })
    candidate = {
      name    = "trading-data-candidate"
      account = "candidate"
      args    = ["replay", "--archive", local.live_archive]
      # It replays the whole archive, and not one day.
      timeout = 4 * var.job.timeout_seconds
      dataset = local.candidate_dataset
      archive = local.scratch_archive
      lease   = local.scratch_archive
      secrets = {}
    }
    watch = {
      name    = "trading-data-watch"
      account = "api"
      args    = ["status"]
      timeout = 600
      dataset = local.dataset
      archive = local.live_archive
      lease   = local.live_lease
      secrets = {}
    }
  }
}

resource "google_cloud_run_v2_job" "this" {
  for_each = local.jobs

  name                = each.value.name
  location            = var.region
  deletion_protection = local.is_protected && each.key == "live"

  template {
    # One at a time: two runs of one day would ask the providers twice.
    task_count  = 1
    parallelism = 1

    template {
      service_account       = google_service_account.this[each.value.account].email
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      timeout               = "${each.value.timeout}s"
      max_retries           = var.job.max_retries

      containers {
        image = var.image
        args  = each.value.args

        resources {
          limits = {
            cpu    = var.job.cpu
            memory = var.job.memory
          }
        }

        dynamic "env" {
          for_each = merge(
            {
              BIGQUERY_PROJECT  = var.project
              BIGQUERY_DATASET  = each.value.dataset
              BIGQUERY_LOCATION = var.region
              ARCHIVE_URI       = each.value.archive
              LEASE_URI         = each.value.lease
              KITE_TOKEN_STORE  = "projects/${var.project}/secrets/kite-session"
            },
            each.key == "triggered" ? { ORDERS_URI = local.orders } : {},
          )

          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = each.value.secrets

          content {
            name = env.key

            value_source {
              secret_key_ref {
                secret  = google_secret_manager_secret.this[env.value].secret_id
                version = "latest"
              }
            }
          }
        }
      }

      # All traffic, because traffic to public addresses would otherwise bypass the firewall.
      vpc_access {
        egress = "ALL_TRAFFIC"

        network_interfaces {
          network    = google_compute_network.this.id
          subnetwork = google_compute_subnetwork.this.id
        }
      }
    }
  }

  # Cloud Run refuses a job whose account cannot read its secrets.
  depends_on = [google_secret_manager_secret_iam_member.this, google_project_service.this]

  # infra/delivery sets the image, after testing it as the candidate.
  lifecycle {
    ignore_changes = [annotations, client, client_version, template[0].template[0].containers[0].image]

    precondition {
      condition     = var.image != null
      error_message = "image is not set: push the first image, and name it in environments/ by its digest (infra/README.md, \"Deploy from nothing\")."
    }
  }
}
