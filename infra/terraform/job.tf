locals {
  job_secrets = merge(
    {
      KITE_API_KEY          = "kite-api-key"
      ALPHA_VANTAGE_API_KEY = "alpha-vantage-api-key"
    },
    var.has_alert_webhook ? { ALERT_WEBHOOK_URL = "alert-webhook-url" } : {},
  )

  # A candidate replays the live archive, and what it writes is nobody's: its own datasets, its own bucket, its own account.
  jobs = {
    live = {
      name    = "trading-data"
      account = "pipeline"
      dataset = local.dataset
      archive = "gs://${google_storage_bucket.archive.name}/archive"
      secrets = local.job_secrets
    }
    candidate = {
      name    = "trading-data-candidate"
      account = "candidate"
      dataset = local.candidate_dataset
      archive = "gs://${google_storage_bucket.scratch.name}/archive"
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
    # One at a time: two runs of one day ask the providers twice.
    task_count  = 1
    parallelism = 1

    template {
      service_account       = google_service_account.this[each.value.account].email
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      timeout               = "3600s"
      max_retries           = 2

      containers {
        image = var.image
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

  # Which image runs is the delivery's (infra/delivery), which tries it as the candidate first.
  lifecycle {
    ignore_changes = [annotations, client, client_version, template[0].template[0].containers[0].image]
  }
}
