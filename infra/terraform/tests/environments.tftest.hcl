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
      google_cloud_run_v2_job.this["live"].deletion_protection == false && google_cloud_run_v2_service.api.deletion_protection == false
      && alltrue([for table in google_bigquery_table.raw : table.deletion_protection == false])
    )
    error_message = "Dev can be taken down."
  }
}
