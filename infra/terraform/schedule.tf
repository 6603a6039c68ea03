locals {
  # Every day: the job itself looks into the trading calendar, so that a run on a holiday is a sign of life.
  # 18:30 IST: the day's bars, of which Kite's are provisional until the night is over.
  # 08:15 IST: they become final. Kite has its final bars at 08:00, and a person logs in after 07:35.
  # 19:15 IST: whether the day's bars are in the marts.
  # On the first of a month: everything is restored from the archive, into datasets that nobody reads.
  schedules = {
    evening = { at = "30 18 * * *", job = "live" }
    morning = { at = "15 8 * * *", job = "live" }
    watch   = { at = "15 19 * * *", job = "watch" }
    drill   = { at = "30 11 1 * *", job = "candidate" }
  }
}

resource "google_cloud_scheduler_job" "this" {
  for_each = local.schedules

  name             = "trading-data-${each.key}"
  description      = "Starts the job ${local.jobs[each.value.job].name}"
  region           = var.region
  schedule         = each.value.at
  time_zone        = "Asia/Kolkata"
  paused           = var.schedule_paused
  attempt_deadline = "180s"

  # Retries of the call that starts a run; the retries of the run itself are in the job.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project}/locations/${var.region}/jobs/${google_cloud_run_v2_job.this[each.value.job].name}:run"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    # A Google API needs an access token; an identity token is for our own service.
    oauth_token {
      service_account_email = google_service_account.this["scheduler"].email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }
}
