locals {
  job_secrets = merge(
    {
      KITE_API_KEY          = "kite-api-key"
      ALPHA_VANTAGE_API_KEY = "alpha-vantage-api-key"
    },
    var.has_alert_webhook ? { ALERT_WEBHOOK_URL = "alert-webhook-url" } : {},
  )

  # A candidate runs the same command, and what it writes is nobody's: its own datasets, its own bucket, its own account.
  jobs = merge(
    {
      live = {
        name    = "trading-data"
        account = "pipeline"
        image   = var.image
        dataset = local.dataset
        archive = "gs://${google_storage_bucket.archive.name}/archive"
        secrets = local.job_secrets
      }
    },
    var.candidate_image == null ? {} : {
      candidate = {
        name    = "trading-data-candidate"
        account = "candidate"
        image   = var.candidate_image
        dataset = local.candidate_dataset
        archive = "gs://${google_storage_bucket.scratch.name}/archive"
        secrets = { for name, secret in local.job_secrets : name => secret if name != "ALERT_WEBHOOK_URL" }
      }
    },
  )
}

resource "google_cloud_run_v2_job" "this" {
  for_each = local.jobs

  name                = each.value.name
  location            = var.region
  deletion_protection = local.is_protected && each.key == "live"

  template {
    # One at a time: two runs of one day ask the providers twice.
    task_count  = 1
    parallelism = 1

    template {
      service_account       = google_service_account.this[each.value.account].email
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      timeout               = "3600s"
      max_retries           = 2

      containers {
        image = each.value.image
        args  = ["run"]

        resources {
          limits = {
            cpu    = "2"
            memory = "4Gi"
          }
        }

        dynamic "env" {
          for_each = {
            BIGQUERY_PROJECT  = var.project
            BIGQUERY_DATASET  = each.value.dataset
            BIGQUERY_LOCATION = var.region
            ARCHIVE_URI       = each.value.archive
            KITE_TOKEN_STORE  = "projects/${var.project}/secrets/kite-session"
          }

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

      # All of it, because traffic to public addresses would otherwise pass the firewall by.
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
}
