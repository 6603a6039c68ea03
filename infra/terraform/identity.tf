locals {
  accounts = merge({
    pipeline  = "The job: writes the archive and the warehouse"
    candidate = "The candidate job: reads the archive, and writes what is thrown away"
    api       = "The service: reads, and starts the job; and the watch, which reads"
    scheduler = "Starts the jobs at their hours"
    deployer  = "GitHub Actions: moves the jobs and the service to an image"
    prober    = "Asks a new revision of the service what people ask, for the deployer"
    scanner   = "GitHub Actions: reads which image runs, and the image"
    }, var.builds_images ? {
    builder = "GitHub Actions: pushes images"
  } : {})

  groups = merge(
    var.analysts_group == null ? {} : { analysts = var.analysts_group },
    var.operators_group == null ? {} : { operators = var.operators_group },
    var.auditors_group == null ? {} : { auditors = var.auditors_group },
  )

  principals = concat(keys(local.accounts), keys(local.groups))

  members = merge(
    { for name, account in google_service_account.this : name => account.member },
    { for name, address in local.groups : name => "group:${address}" },
  )

  # All grants of this module, each on the narrowest resource that accepts it. Grants to a group that is not set are left
  # out.
  project_grants = {
    pipeline  = ["roles/bigquery.jobUser"]
    candidate = ["roles/bigquery.jobUser"]
    api       = ["roles/bigquery.jobUser"]
    # To wait for a deployment, gcloud reads operations, which do not belong to a job or service.
    deployer = ["roles/bigquery.jobUser", "roles/run.viewer"]
    # `export` and the Python module read results by the Storage API, which the second role allows.
    analysts  = ["roles/bigquery.jobUser", "roles/bigquery.readSessionUser"]
    operators = ["roles/bigquery.jobUser", "roles/bigquery.readSessionUser", "roles/cloudscheduler.viewer", "roles/logging.viewer", "roles/monitoring.viewer"]
    scanner   = ["roles/run.viewer"]
  }

  # WRITER is BigQuery's own word for roles/bigquery.dataEditor, READER for roles/bigquery.dataViewer.
  dataset_grants = {
    pipeline = { WRITER = keys(local.layers) }
    # The page shows a seed, which is in intermediate.
    api       = { READER = ["intermediate", "marts", "operations", "quality", "raw"] }
    analysts  = { READER = ["marts", "quality"] }
    operators = { READER = keys(local.layers) }
    # It compares a candidate's marts with these, and the batches that both hold.
    deployer = { READER = ["marts", "quality", "raw"] }
  }
  candidate_dataset_grants = {
    candidate = { WRITER = keys(local.layers) }
    # All layers, because the candidate's views are not authorised to read other layers.
    deployer  = { READER = keys(local.layers) }
    operators = { READER = keys(local.layers) }
  }

  # objectCreator cannot replace an object: that would need the right to delete.
  archive_grants = {
    pipeline  = ["roles/storage.objectCreator", "roles/storage.objectViewer"]
    candidate = ["roles/storage.objectViewer"]
    api       = ["roles/storage.objectViewer"]
    operators = ["roles/storage.objectViewer"]
  }
  short_lived_grants = {
    scratch = { candidate = ["roles/storage.objectCreator", "roles/storage.objectViewer"] }
    orders = {
      api      = ["roles/storage.objectCreator", "roles/storage.objectViewer"]
      pipeline = ["roles/storage.objectCreator", "roles/storage.objectViewer"]
    }
    leases = {
      pipeline  = ["roles/storage.objectCreator", "roles/storage.objectViewer"]
      api       = ["roles/storage.objectViewer"]
      operators = ["roles/storage.objectViewer"]
    }
  }

  secret_grants = merge(
    {
      "kite-api-key" = {
        "roles/secretmanager.secretAccessor" = ["operators", "pipeline"]
      }
      "kite-api-secret" = {
        "roles/secretmanager.secretAccessor" = ["operators"]
      }
      "kite-session" = {
        "roles/secretmanager.secretAccessor" = ["pipeline"]
        # Operators add the version of the day, and destroy older ones, which would be billed for ever.
        "roles/secretmanager.secretVersionManager" = ["operators"]
      }
    },
    var.has_alpha_vantage ? {
      "alpha-vantage-api-key" = {
        "roles/secretmanager.secretAccessor" = ["pipeline"]
      }
    } : {},
    var.has_alert_webhook ? {
      "alert-webhook-url" = {
        "roles/secretmanager.secretAccessor" = ["pipeline"]
      }
    } : {},
  )

  # To start a job with arguments or variables needs the right to override, which roles/run.invoker lacks. With it, the
  # holder can run any command as the pipeline; so only people and the deployer have it, and the API does not.
  job_grants = {
    live = {
      scheduler = ["roles/run.invoker"]
      operators = ["roles/run.jobsExecutorWithOverrides", "roles/run.viewer"]
      # After an update of the job's image, the deployer starts a build.
      deployer = ["roles/run.developer", "roles/run.jobsExecutorWithOverrides"]
    }
    # These jobs are started with their own arguments only.
    triggered = {
      api       = ["roles/run.invoker", "roles/run.viewer"]
      operators = ["roles/run.viewer"]
      deployer  = ["roles/run.developer"]
    }
    candidate = {
      scheduler = ["roles/run.invoker"]
      deployer  = ["roles/run.developer"]
    }
    watch = {
      scheduler = ["roles/run.invoker"]
      deployer  = ["roles/run.developer"]
    }
  }
}

resource "google_service_account" "this" {
  for_each = local.accounts

  account_id   = "trading-data-${each.key}"
  display_name = each.value

  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "this" {
  for_each = merge([
    for who, roles in local.project_grants : { for role in roles : "${who} ${role}" => { who = who, role = role } }
    if contains(local.principals, who)
  ]...)

  project = var.project
  role    = each.value.role
  member  = local.members[each.value.who]
}

# The auditors can read all logs of the audit bucket, and of no other bucket.
resource "google_project_iam_member" "auditors" {
  count = var.auditors_group == null ? 0 : 1

  project = var.project
  role    = "roles/logging.viewAccessor"
  member  = local.members["auditors"]

  condition {
    title      = "The audit logs"
    expression = "resource.name == \"${google_logging_project_bucket_config.audit.id}/views/_AllLogs\""
  }
}

resource "google_bigquery_dataset_access" "live" {
  for_each = merge(flatten([
    for who, roles in local.dataset_grants : [
      for role, layers in roles : { for layer in layers : "${who} ${role} ${layer}" => { who = who, role = role, layer = layer } }
    ] if contains(local.principals, who)
  ])...)

  dataset_id     = google_bigquery_dataset.live[each.value.layer].dataset_id
  role           = each.value.role
  user_by_email  = contains(keys(local.accounts), each.value.who) ? google_service_account.this[each.value.who].email : null
  group_by_email = contains(keys(local.accounts), each.value.who) ? null : local.groups[each.value.who]
}

resource "google_bigquery_dataset_access" "candidate" {
  for_each = merge(flatten([
    for who, roles in local.candidate_dataset_grants : [
      for role, layers in roles : { for layer in layers : "${who} ${role} ${layer}" => { who = who, role = role, layer = layer } }
    ] if contains(local.principals, who)
  ])...)

  dataset_id     = google_bigquery_dataset.candidate[each.value.layer].dataset_id
  role           = each.value.role
  user_by_email  = contains(keys(local.accounts), each.value.who) ? google_service_account.this[each.value.who].email : null
  group_by_email = contains(keys(local.accounts), each.value.who) ? null : local.groups[each.value.who]
}

resource "google_storage_bucket_iam_member" "archive" {
  for_each = merge([
    for who, roles in local.archive_grants : { for role in roles : "${who} ${role}" => { who = who, role = role } }
    if contains(local.principals, who)
  ]...)

  bucket = google_storage_bucket.archive.name
  role   = each.value.role
  member = local.members[each.value.who]
}

resource "google_storage_bucket_iam_member" "short_lived" {
  for_each = merge(flatten([
    for bucket, grants in local.short_lived_grants : [
      for who, roles in grants : { for role in roles : "${who} ${role} ${bucket}" => { who = who, role = role, bucket = bucket } }
      if contains(local.principals, who)
    ]
  ])...)

  bucket = google_storage_bucket.short_lived[each.value.bucket].name
  role   = each.value.role
  member = local.members[each.value.who]
}

resource "google_secret_manager_secret_iam_member" "this" {
  for_each = merge(flatten([
    for secret, roles in local.secret_grants : [
      for role, names in roles : {
        for who in names : "${who} ${role} ${secret}" => { who = who, role = role, secret = secret }
        if contains(local.principals, who)
      }
    ]
  ])...)

  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = each.value.role
  member    = local.members[each.value.who]
}

resource "google_cloud_run_v2_job_iam_member" "this" {
  for_each = merge(flatten([
    for job, grants in local.job_grants : [
      for who, roles in grants : { for role in roles : "${who} ${role} ${job}" => { who = who, role = role, job = job } }
      if contains(local.principals, who)
    ]
  ])...)

  name     = google_cloud_run_v2_job.this[each.value.job].name
  location = var.region
  role     = each.value.role
  member   = local.members[each.value.who]
}

resource "google_cloud_run_v2_service_iam_member" "deployer" {
  name     = google_cloud_run_v2_service.api.name
  location = var.region
  role     = "roles/run.developer"
  member   = local.members["deployer"]
}

resource "google_cloud_run_v2_service_iam_member" "prober" {
  name     = google_cloud_run_v2_service.api.name
  location = var.region
  role     = "roles/run.invoker"
  member   = local.members["prober"]
}

# The uptime check uses this identity, which Google creates with the first such check of a project.
resource "google_cloud_run_v2_service_iam_member" "uptime" {
  count = local.is_watched ? 1 : 0

  name     = google_cloud_run_v2_service.api.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
}

resource "google_service_account_iam_member" "prober" {
  service_account_id = google_service_account.this["prober"].name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.members["deployer"]
}

resource "google_cloud_run_v2_service_iam_member" "invokers" {
  for_each = var.api_invokers

  name     = google_cloud_run_v2_service.api.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.key
}

# A principal that sets the image of a job or service decides what its account does, so it needs this right.
resource "google_service_account_iam_member" "deployer" {
  for_each = toset(["api", "candidate", "pipeline"])

  service_account_id = google_service_account.this[each.key].name
  role               = "roles/iam.serviceAccountUser"
  member             = local.members["deployer"]
}
