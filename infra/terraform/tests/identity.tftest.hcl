mock_provider "google" {
  # Members are addresses, which are known once the accounts exist.
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/trading-data-test/serviceAccounts/account@trading-data-test.iam.gserviceaccount.com"
      email  = "account@trading-data-test.iam.gserviceaccount.com"
      member = "serviceAccount:account@trading-data-test.iam.gserviceaccount.com"
    }
  }
}

variables {
  project           = "trading-data-test"
  environment       = "dev"
  image             = "images.example/trading-data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  analysts_group    = "analysts@example.com"
  operators_group   = "operators@example.com"
  has_alert_webhook = true
  github_repository = "example/trading-data"
  builds_images     = true
  alert_emails      = ["operators@example.com"]
  slack_channel     = "#trading-data"
  slack_auth_token  = "not-a-token"
  billing_account   = "000000-000000-000000"
  api_invokers      = ["group:analysts@example.com"]
}

run "everything" {
  command = apply

  assert {
    condition = alltrue([
      for grant in concat(
        values(google_project_iam_member.this), values(google_storage_bucket_iam_member.archive),
        values(google_storage_bucket_iam_member.scratch), values(google_secret_manager_secret_iam_member.this),
        values(google_cloud_run_v2_job_iam_member.this), [google_cloud_run_v2_service_iam_member.deployer],
        values(google_cloud_run_v2_service_iam_member.invokers), values(google_service_account_iam_member.deployer),
        values(google_service_account_iam_member.github), [google_service_account_iam_member.prober],
        [google_cloud_run_v2_service_iam_member.prober], [google_artifact_registry_repository_iam_member.deployer],
      ) :
      !can(regex("(?i)owner|editor|admin", grant.role)) && !contains(["allUsers", "allAuthenticatedUsers"], grant.member)
    ])
    error_message = "No grant is of an owner, editor or admin, or to everybody."
  }

  assert {
    condition = toset([for grant in google_project_iam_member.this : grant.role]) == toset([
      "roles/bigquery.jobUser", "roles/logging.viewer", "roles/monitoring.viewer", "roles/run.viewer",
    ])
    error_message = "In the whole project people and accounts may start queries, and look."
  }

  assert {
    condition = { for key, grant in google_storage_bucket_iam_member.archive : key => grant.role } == {
      "pipeline roles/storage.objectCreator" = "roles/storage.objectCreator"
      "pipeline roles/storage.objectViewer"  = "roles/storage.objectViewer"
      "candidate roles/storage.objectViewer" = "roles/storage.objectViewer"
      "api roles/storage.objectViewer"       = "roles/storage.objectViewer"
    }
    error_message = "The pipeline alone adds to the archive, and nobody replaces or deletes in it."
  }

  assert {
    condition = alltrue([
      for key, grant in google_bigquery_dataset_access.live : grant.role == (startswith(key, "pipeline ") ? "WRITER" : "READER")
    ])
    error_message = "The pipeline alone writes the live datasets."
  }

  assert {
    condition = toset([for key, grant in google_bigquery_dataset_access.live : grant.dataset_id if startswith(key, "analysts ")]) == toset([
      "trading_data", "trading_data_quality",
    ])
    error_message = "Analysts read marts and quality."
  }

  assert {
    condition = toset([for key, grant in google_cloud_run_v2_job_iam_member.this : key]) == toset([
      "scheduler roles/run.invoker live",
      "api roles/run.jobsExecutorWithOverrides live",
      "api roles/run.viewer live",
      "operators roles/run.jobsExecutorWithOverrides live",
      "operators roles/run.viewer live",
      "deployer roles/run.developer live",
      "deployer roles/run.developer candidate",
      "deployer roles/run.jobsExecutorWithOverrides candidate",
    ])
    error_message = "The scheduler starts the job as it is; the API and operators may give it arguments; the deployer changes it, and tries the candidate."
  }

  assert {
    condition = toset([for key, grant in google_secret_manager_secret_iam_member.this : key]) == toset([
      "pipeline roles/secretmanager.secretAccessor kite-api-key",
      "operators roles/secretmanager.secretAccessor kite-api-key",
      "operators roles/secretmanager.secretAccessor kite-api-secret",
      "pipeline roles/secretmanager.secretAccessor kite-session",
      "operators roles/secretmanager.secretVersionAdder kite-session",
      "pipeline roles/secretmanager.secretAccessor alpha-vantage-api-key",
      "pipeline roles/secretmanager.secretAccessor alert-webhook-url",
    ])
    error_message = "Each secret is read by those that need it, and a person alone opens Kite's session."
  }

  assert {
    condition = (
      google_iam_workload_identity_pool_provider.github[0].attribute_condition
      == "assertion.sub in ['repo:example/trading-data:environment:dev', 'repo:example/trading-data:environment:build']"
      && alltrue([for subject, grant in google_service_account_iam_member.github : endswith(grant.member, "/subject/${subject}")])
    )
    error_message = "GitHub Actions may deploy from this repository's environments alone."
  }

  assert {
    condition = alltrue([
      for policy in [
        google_monitoring_alert_policy.failed_run, google_monitoring_alert_policy.no_good_run,
        google_monitoring_alert_policy.low_score, google_monitoring_alert_policy.source_down,
        google_monitoring_alert_policy.slow_run, google_monitoring_alert_policy.told,
      ] : length(policy.notification_channels) == 2
    ])
    error_message = "Each alert goes to each channel."
  }

  assert {
    condition     = google_billing_budget.this[0].threshold_rules[*].threshold_percent == tolist([0.5, 0.9, 1, 1])
    error_message = "The budget speaks at half, at nine tenths, when it is spent, and when it will be."
  }

  # A value of a secret would be a google_secret_manager_secret_version; tests/infra/test_terraform.py holds that there is none.
  assert {
    condition = toset(output.secrets) == toset([
      "alert-webhook-url", "alpha-vantage-api-key", "kite-api-key", "kite-api-secret", "kite-session",
    ])
    error_message = "The secrets are named, and their values are added out of band."
  }
}

run "nobody_named" {
  command = plan

  variables {
    analysts_group    = null
    operators_group   = null
    has_alert_webhook = false
    github_repository = null
    alert_emails      = []
    slack_channel     = null
    slack_auth_token  = null
    billing_account   = null
    api_invokers      = []
  }

  assert {
    condition = (
      length(google_iam_workload_identity_pool.github) == 0 && length(google_billing_budget.this) == 0
      && length(google_monitoring_notification_channel.slack) == 0
      && alltrue([for key, grant in google_bigquery_dataset_access.live : !startswith(key, "operators")])
    )
    error_message = "Who is not named is given nothing."
  }
}
