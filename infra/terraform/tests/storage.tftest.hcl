mock_provider "google" {}

variables {
  project     = "trading-data-test"
  environment = "staging"
  image       = "images.example/trading-data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
}

run "storage" {
  command = plan

  assert {
    condition     = tonumber(google_storage_bucket.archive.retention_policy[0].retention_period) == 220752000
    error_message = "The archive is kept for 2555 days."
  }

  assert {
    condition     = !google_storage_bucket.archive.retention_policy[0].is_locked
    error_message = "Outside prod a retention that is locked cannot be taken back."
  }

  assert {
    condition = [
      for rule in google_storage_bucket.archive.lifecycle_rule :
      "${one(rule.action[*].type)} ${coalesce(one(rule.action[*].storage_class), "-")} ${one(rule.condition[*].age)}"
    ] == ["SetStorageClass COLDLINE 365"]
    error_message = "The archive becomes colder after a year, and nothing of it is ever deleted: all else is rebuilt from it."
  }

  assert {
    condition = (
      google_storage_bucket.archive.location == "IN"
      && google_storage_bucket.archive.custom_placement_config[0].data_locations == toset(["ASIA-SOUTH1", "ASIA-SOUTH2"])
    )
    error_message = "The archive is in two regions of India, which can never be changed."
  }

  assert {
    condition = alltrue([
      for bucket in concat([google_storage_bucket.archive], values(google_storage_bucket.short_lived)) :
      bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access
    ]) && !google_storage_bucket.archive.force_destroy
    error_message = "No bucket is public, or has rights by object; and the archive does not go with its objects."
  }

  assert {
    condition = length(google_storage_bucket.archive.versioning) == 0 && alltrue([
      for bucket in google_storage_bucket.short_lived : length(bucket.retention_policy) == 0
    ])
    error_message = "Retention and versioning exclude each other; what is short-lived has neither, a lease least of all."
  }

  assert {
    condition = alltrue([
      for bucket in google_storage_bucket.short_lived : one(bucket.lifecycle_rule[0].condition[*].age) == 7
    ])
    error_message = "What a candidate wrote, and a lease that ended, goes after a week."
  }

  assert {
    condition = toset([for dataset in google_bigquery_dataset.live : dataset.dataset_id]) == toset([
      "trading_data_raw", "trading_data_staging", "trading_data_intermediate", "trading_data", "trading_data_quality",
      "trading_data_operations",
    ])
    error_message = "The datasets are those that dbt_project.yml names."
  }

  assert {
    condition = alltrue([
      for dataset in concat(values(google_bigquery_dataset.live), values(google_bigquery_dataset.candidate)) :
      dataset.max_time_travel_hours == "168" && dataset.location == "asia-south1"
    ]) && alltrue([for dataset in google_bigquery_dataset.live : !dataset.delete_contents_on_destroy])
    error_message = "Each dataset can go back a week and stays in India, and a live one does not go with its tables."
  }

  assert {
    condition = length(google_bigquery_table.raw) == length(jsondecode(file("raw_tables.json"))) && alltrue([
      for table in google_bigquery_table.raw : table.time_partitioning[0].type == "DAY" && length(table.clustering) == 1
    ])
    error_message = "Each raw table is partitioned by day, and clustered."
  }

  assert {
    condition = (
      google_bigquery_table.raw["kite_daily_bars"].time_partitioning[0].field == "_extracted_at"
      && google_bigquery_table.raw["kite_daily_bars"].clustering == tolist(["symbol"])
      && google_bigquery_table.raw["batch_events"].time_partitioning[0].field == "recorded_at"
      && google_bigquery_table.raw["builds"].clustering == tolist(["project_digest"])
    )
    error_message = "A raw table is partitioned by when it was extracted, and clustered by its symbol."
  }

  assert {
    condition     = google_logging_project_bucket_config.audit.retention_days == 2555 && !google_logging_project_bucket_config.audit.locked
    error_message = "Audit logs are kept for 2555 days."
  }

  assert {
    condition = (
      google_logging_project_sink.audit.filter == "logName:\"cloudaudit.googleapis.com\""
      && google_logging_project_bucket_config.audit.bucket_id == "trading-data-audit"
    )
    error_message = "The sink takes the audit logs, and its bucket is their own."
  }

  assert {
    condition = alltrue([
      for dataset in google_bigquery_dataset.candidate : dataset.default_table_expiration_ms == 604800000
      ]) && google_artifact_registry_repository.this.cleanup_policy_dry_run != true && toset([
      for policy in google_artifact_registry_repository.this.cleanup_policies : policy.action
    ]) == toset(["DELETE", "KEEP"])
    error_message = "A candidate's tables and old images are deleted."
  }

  assert {
    condition = (
      toset([for config in google_project_iam_audit_config.this.audit_log_config : config.log_type])
      == toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"]) && google_project_iam_audit_config.this.service == "allServices"
    )
    error_message = "Each access is logged."
  }
}
