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
  auditors_group    = "auditors@example.com"
  has_alert_webhook = true
  has_alpha_vantage = true
  github_repository = "example/trading-data"
  github_owner_id   = "1234567"
  builds_images     = true
  alert_emails      = ["analysts@example.com", "operators@example.com"]
  alert_channels    = ["projects/trading-data-test/notificationChannels/1"]
  paging_channels   = ["projects/trading-data-test/notificationChannels/2"]
  billing_account   = "000000-000000-000000"
  api_invokers      = ["group:analysts@example.com"]
}

run "everything" {
  command = apply

  assert {
    condition = alltrue([
      for grant in concat(
        values(google_project_iam_member.this), values(google_storage_bucket_iam_member.archive),
        values(google_storage_bucket_iam_member.short_lived), values(google_secret_manager_secret_iam_member.this),
        values(google_cloud_run_v2_job_iam_member.this), [google_cloud_run_v2_service_iam_member.deployer],
        values(google_cloud_run_v2_service_iam_member.invokers), values(google_service_account_iam_member.deployer),
        values(google_service_account_iam_member.github), [google_service_account_iam_member.prober],
        [google_cloud_run_v2_service_iam_member.prober], google_artifact_registry_repository_iam_member.builder,
        values(google_artifact_registry_repository_iam_member.readers), google_cloud_run_v2_service_iam_member.uptime,
        google_project_iam_member.auditors,
      ) :
      !can(regex("(?i)owner|editor|admin", grant.role)) && !contains(["allUsers", "allAuthenticatedUsers"], grant.member)
    ])
    error_message = "No grant is of an owner, editor or admin, or to everybody."
  }

  assert {
    condition = toset([for grant in google_project_iam_member.this : grant.role]) == toset([
      "roles/bigquery.jobUser", "roles/bigquery.readSessionUser", "roles/cloudscheduler.viewer", "roles/logging.viewer", "roles/monitoring.viewer", "roles/run.viewer",
    ])
    error_message = "In the whole project people and accounts may start queries, and look."
  }

  assert {
    condition = { for key, grant in google_storage_bucket_iam_member.archive : key => grant.role } == {
      "pipeline roles/storage.objectCreator" = "roles/storage.objectCreator"
      "pipeline roles/storage.objectViewer"  = "roles/storage.objectViewer"
      "candidate roles/storage.objectViewer" = "roles/storage.objectViewer"
      "api roles/storage.objectViewer"       = "roles/storage.objectViewer"
      "operators roles/storage.objectViewer" = "roles/storage.objectViewer"
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
      "api roles/run.invoker triggered",
      "api roles/run.viewer triggered",
      "operators roles/run.viewer triggered",
      "deployer roles/run.developer triggered",
      "operators roles/run.jobsExecutorWithOverrides live",
      "operators roles/run.viewer live",
      "deployer roles/run.developer live",
      "deployer roles/run.jobsExecutorWithOverrides live",
      "scheduler roles/run.invoker candidate",
      "deployer roles/run.developer candidate",
      "scheduler roles/run.invoker watch",
      "deployer roles/run.developer watch",
    ])
    error_message = "The scheduler and the API start jobs as they are; operators may give the live one arguments; the deployer changes them."
  }

  assert {
    condition = toset([for key, grant in google_secret_manager_secret_iam_member.this : key]) == toset([
      "pipeline roles/secretmanager.secretAccessor kite-api-key",
      "operators roles/secretmanager.secretAccessor kite-api-key",
      "operators roles/secretmanager.secretAccessor kite-api-secret",
      "pipeline roles/secretmanager.secretAccessor kite-session",
      "operators roles/secretmanager.secretVersionManager kite-session",
      "pipeline roles/secretmanager.secretAccessor alpha-vantage-api-key",
      "pipeline roles/secretmanager.secretAccessor alert-webhook-url",
    ])
    error_message = "Each secret is read by those that need it, and a person alone opens Kite's session."
  }

  assert {
    condition = (
      google_iam_workload_identity_pool_provider.github[0].attribute_condition
      == "assertion.repository_owner_id == '1234567' && assertion.ref == 'refs/heads/main' && assertion.sub in ['repo:example/trading-data:environment:build', 'repo:example/trading-data:environment:dev', 'repo:example/trading-data:environment:scan-dev']"
      && alltrue([for subject, grant in google_service_account_iam_member.github : endswith(grant.member, "/subject/${subject}")])
      && local.github_accounts == tomap({
        "repo:example/trading-data:environment:build"    = "builder"
        "repo:example/trading-data:environment:dev"      = "deployer"
        "repo:example/trading-data:environment:scan-dev" = "scanner"
      })
    )
    error_message = "GitHub Actions may deploy from this repository's main branch and environments alone, each as one account."
  }

  assert {
    condition = (
      google_artifact_registry_repository_iam_member.builder[0].role == "roles/artifactregistry.writer"
      && alltrue([for grant in google_artifact_registry_repository_iam_member.readers : grant.role == "roles/artifactregistry.reader"])
    )
    error_message = "The builder alone pushes images."
  }

  assert {
    condition = alltrue([
      for policy in concat(
        [
          google_monitoring_alert_policy.failed_run, google_monitoring_alert_policy.failed_attempt,
          google_monitoring_alert_policy.no_good_run, google_monitoring_alert_policy.slow_run,
          google_monitoring_alert_policy.failed_drill,
        ],
        values(google_monitoring_alert_policy.told), values(google_monitoring_alert_policy.burn_rate),
        ) : (
        length(policy.notification_channels) == (policy.severity == "WARNING" ? 3 : 4)
        && contains(policy.notification_channels, "projects/trading-data-test/notificationChannels/2") == (policy.severity != "WARNING")
      )
    ])
    error_message = "Each alert goes to each channel, and what is an error wakes somebody."
  }

  assert {
    condition = alltrue([
      for policy in concat(
        [
          google_monitoring_alert_policy.failed_run, google_monitoring_alert_policy.failed_attempt,
          google_monitoring_alert_policy.no_good_run, google_monitoring_alert_policy.slow_run,
          google_monitoring_alert_policy.failed_drill,
        ],
        values(google_monitoring_alert_policy.told), values(google_monitoring_alert_policy.burn_rate),
      ) : one(policy.alert_strategy[*].auto_close) == "1800s"
    ])
    error_message = "An incident is closed half an hour after its cause, so that what happens again is told again."
  }

  # The Budgets API takes no other channel than mail, and five at most; no tool but the API knows it.
  assert {
    condition = toset(google_billing_budget.this[0].all_updates_rule[0].monitoring_notification_channels) == toset([
      for channel in google_monitoring_notification_channel.email : channel.id if channel.type == "email"
    ])
    error_message = "The budget tells mail channels alone."
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
    auditors_group    = null
    has_alpha_vantage = false
    github_owner_id   = null
    alert_emails      = []
    alert_channels    = []
    paging_channels   = []
    billing_account   = null
    api_invokers      = []
  }

  assert {
    condition = (
      length(google_iam_workload_identity_pool.github) == 0 && length(google_billing_budget.this) == 0
      && toset(output.secrets) == toset(["kite-api-key", "kite-api-secret", "kite-session"])
      && length(google_project_iam_member.auditors) == 0
      && alltrue([for key, grant in google_bigquery_dataset_access.live : !startswith(key, "operators")])
    )
    error_message = "Who is not named is given nothing."
  }
}
