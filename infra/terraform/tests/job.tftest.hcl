mock_provider "google" {}

variables {
  project     = "trading-data-test"
  environment = "dev"
  image       = "images.example/trading-data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
}

run "job" {
  command = plan

  assert {
    condition = {
      for name, job in google_cloud_scheduler_job.this : name => "${job.schedule} ${job.time_zone}"
      } == {
      evening = "30 18 * * * Asia/Kolkata", morning = "15 8 * * * Asia/Kolkata"
      watch   = "15 19 * * * Asia/Kolkata", drill = "30 11 1 * * Asia/Kolkata"
    }
    error_message = "Runs start at 18:30 and 08:15 in India, every day; at 19:15 somebody looks, and once a month all is restored."
  }

  assert {
    condition = alltrue([
      for name, job in google_cloud_scheduler_job.this :
      job.http_target[0].http_method == "POST"
      && job.http_target[0].uri == "https://run.googleapis.com/v2/projects/trading-data-test/locations/asia-south1/jobs/${local.jobs[local.schedules[name].job].name}:run"
      && length(job.http_target[0].oauth_token) == 1 && length(job.http_target[0].oidc_token) == 0
      && job.retry_config[0].retry_count == 3 && job.paused == false
    ])
    error_message = "The schedule calls jobs:run with an access token, and again where that fails."
  }

  assert {
    condition = (
      google_cloud_run_v2_job.this["live"].template[0].parallelism == 1
      && google_cloud_run_v2_job.this["live"].template[0].task_count == 1
      && google_cloud_run_v2_job.this["live"].template[0].template[0].max_retries == 2
      && google_cloud_run_v2_job.this["live"].template[0].template[0].timeout == "3600s"
    )
    error_message = "A run is one task, which is tried again after it ended and never beside itself."
  }

  assert {
    condition = {
      for env in google_cloud_run_v2_job.this["live"].template[0].template[0].containers[0].env : env.name => env.value
      if length(env.value_source) == 0
      } == {
      BIGQUERY_PROJECT  = "trading-data-test"
      BIGQUERY_DATASET  = "trading_data"
      BIGQUERY_LOCATION = "asia-south1"
      ARCHIVE_URI       = "gs://trading-data-test-archive/archive"
      LEASE_URI         = "gs://trading-data-test-leases/trading-data"
      KITE_TOKEN_STORE  = "projects/trading-data-test/secrets/kite-session"
    }
    error_message = "The job's settings are those of the README."
  }

  assert {
    condition = {
      for env in google_cloud_run_v2_job.this["live"].template[0].template[0].containers[0].env :
      env.name => env.value_source[0].secret_key_ref[0].secret if length(env.value_source) == 1
    } == { KITE_API_KEY = "kite-api-key" }
    error_message = "Keys come from Secret Manager, and what has no key is not asked for."
  }

  assert {
    condition = [
      for env in google_cloud_run_v2_job.this["candidate"].template[0].template[0].containers[0].env : env.name
      if length(env.value_source) == 1
    ] == []
    error_message = "The candidate replays, and has no key."
  }

  assert {
    condition     = google_cloud_run_v2_job.this["live"].template[0].template[0].vpc_access[0].egress == "ALL_TRAFFIC"
    error_message = "All of the job's traffic passes the firewall."
  }

  assert {
    condition = (
      one(google_compute_firewall.allow_https.allow).ports == tolist(["443"])
      && google_compute_firewall.allow_https.priority < google_compute_firewall.deny_egress.priority
      && one(google_compute_firewall.deny_egress.deny).protocol == "all"
      && one(google_compute_firewall.deny_ingress.deny).protocol == "all"
    )
    error_message = "Nothing comes in, and only HTTPS goes out."
  }
}

run "candidate" {
  command = plan

  variables {
    has_alpha_vantage = true
    has_alert_webhook = true
    schedule_paused   = true
  }

  assert {
    condition = {
      for env in google_cloud_run_v2_job.this["candidate"].template[0].template[0].containers[0].env : env.name => env.value
      if contains(["BIGQUERY_DATASET", "ARCHIVE_URI"], env.name)
    } == { BIGQUERY_DATASET = "trading_data_candidate", ARCHIVE_URI = "gs://trading-data-test-scratch/archive" }
    error_message = "A candidate writes where nobody reads."
  }

  assert {
    condition = {
      for name, job in google_cloud_run_v2_job.this : name => [
        for env in job.template[0].template[0].containers[0].env : env.name if length(env.value_source) == 1
      ]
      } == {
      candidate = []
      live      = ["ALERT_WEBHOOK_URL", "ALPHA_VANTAGE_API_KEY", "KITE_API_KEY"]
      triggered = ["ALERT_WEBHOOK_URL", "ALPHA_VANTAGE_API_KEY", "KITE_API_KEY"]
      watch     = []
    }
    error_message = "Only the two live jobs have keys, and alerts."
  }

  assert {
    condition = {
      for name, job in google_cloud_run_v2_job.this : name => join(" ", job.template[0].template[0].containers[0].args)
      } == {
      candidate = "replay --archive gs://trading-data-test-archive/archive"
      live      = "run"
      triggered = "ordered"
      watch     = "status"
    }
    error_message = "A candidate restores the live archive; the triggered job takes an order; the watch looks."
  }

  assert {
    condition = (
      alltrue([for job in google_cloud_scheduler_job.this : job.paused]) && google_monitoring_alert_policy.no_good_run.enabled == false
      && length(google_monitoring_slo.freshness) == 0
    )
    error_message = "Where no run is started, none is missed."
  }
}
