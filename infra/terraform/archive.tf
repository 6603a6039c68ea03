locals {
  retention_seconds = var.retention_days * 24 * 60 * 60
}

# After the first apply, its location cannot be changed, and in prod its retention cannot be shortened: see "Decide before
# prod's first apply" in infra/README.md.
resource "google_storage_bucket" "archive" {
  #checkov:skip=CKV_GCP_78:retention and versioning exclude each other, and nothing here can be replaced or deleted
  #checkov:skip=CKV_GCP_62:audit.tf has each access to every object logged, which usage logs would repeat
  name     = "${var.project}-archive"
  location = var.archive_location

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !local.is_protected

  dynamic "custom_placement_config" {
    for_each = length(var.archive_regions) == 0 ? [] : [var.archive_regions]

    content {
      data_locations = custom_placement_config.value
    }
  }

  # A locked policy can never be shortened or removed. Dev has no policy, so that it can be destroyed.
  dynamic "retention_policy" {
    for_each = local.is_protected ? [local.retention_seconds] : []

    content {
      retention_period = retention_policy.value
      is_locked        = local.is_retention_locked
    }
  }

  # An object that a person with rights deletes after its retention can be restored for a week.
  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  # Only one change of storage class: with 15,000 small objects a year, a further change costs more than it saves. Nothing
  # is deleted, because everything is rebuilt from here, however old it is.
  lifecycle_rule {
    action {
      type          = "SetStorageClass"
      storage_class = "COLDLINE"
    }
    condition {
      age = 365
    }
  }

  depends_on = [google_project_service.this]
}

locals {
  # Buckets whose objects are deleted after so many days: a candidate's batches, the records of the lease and the
  # alerts that were sent, and what callers of the API ordered.
  short_lived = { scratch = 7, leases = 7, orders = 7 }
}

resource "google_storage_bucket" "short_lived" {
  #checkov:skip=CKV_GCP_78:a candidate's batches, leases that ended and orders that were taken are thrown away after a week
  #checkov:skip=CKV_GCP_62:audit.tf has each access to every object logged, which usage logs would repeat
  for_each = local.short_lived

  name     = "${var.project}-${each.key}"
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  # These objects exist elsewhere too, or are worthless after a day.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = each.value
    }
  }

  depends_on = [google_project_service.this]
}
