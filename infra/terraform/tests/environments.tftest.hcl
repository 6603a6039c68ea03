mock_provider "google" {}

variables {
  project     = "trading-data-test"
  environment = "dev"
  image       = "images.example/trading-data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
}

run "prod" {
  command = plan

  variables {
    environment = "prod"
    service     = { min_instances = 1 }
  }

  assert {
    condition = (
      google_monitoring_slo.freshness[0].goal == 0.99 && google_monitoring_slo.availability[0].goal == 0.999
      && { for name, policy in google_monitoring_alert_policy.burn_rate : name => policy.severity } == {
        freshness = "ERROR", availability_fast = "ERROR", availability_slow = "WARNING"
      }
      && google_monitoring_uptime_check_config.api[0].http_check[0].service_agent_authentication[0].type == "OIDC_TOKEN"
    )
    error_message = "Where the schedule runs, freshness and availability are measured, and somebody is told how fast errors are used up."
  }

  assert {
    condition = (
      google_storage_bucket.archive.retention_policy[0].is_locked && google_logging_project_bucket_config.audit.locked
      && google_cloud_run_v2_job.this["live"].deletion_protection && google_cloud_run_v2_service.api.deletion_protection
      && alltrue([for table in google_bigquery_table.raw : table.deletion_protection])
    )
    error_message = "In prod nothing goes by mistake, and the archive not even on purpose."
  }
}

run "staging" {
  command = plan

  variables {
    environment = "staging"
  }

  assert {
    condition = (
      google_storage_bucket.archive.retention_policy[0].is_locked == false
      && google_cloud_run_v2_job.this["live"].deletion_protection && google_cloud_run_v2_service.api.deletion_protection
      && alltrue([for table in google_bigquery_table.raw : table.deletion_protection])
    )
    error_message = "Staging is protected as prod is, but its archive is not locked."
  }
}

run "dev" {
  command = plan

  assert {
    condition = (
      length(google_storage_bucket.archive.retention_policy) == 0 && google_storage_bucket.archive.force_destroy
      && alltrue([for dataset in google_bigquery_dataset.live : dataset.delete_contents_on_destroy]) &&
      google_cloud_run_v2_job.this["live"].deletion_protection == false && google_cloud_run_v2_service.api.deletion_protection == false
      && alltrue([for table in google_bigquery_table.raw : table.deletion_protection == false])
    )
    error_message = "Dev can be taken down."
  }
}
