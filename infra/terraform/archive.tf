locals {
  # Seven years, as the audit wants them.
  retention_days    = 2555
  retention_seconds = local.retention_days * 24 * 60 * 60
}

resource "google_storage_bucket" "archive" {
  #checkov:skip=CKV_GCP_78:retention and versioning exclude each other, and nothing here can be replaced or deleted
  #checkov:skip=CKV_GCP_62:audit.tf has each access to every object logged, which usage logs would repeat
  name     = "${var.project}-archive"
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  # A locked policy can never be shortened or removed.
  retention_policy {
    retention_period = local.retention_seconds
    is_locked        = local.is_retention_locked
  }

  # What the lifecycle deletes can be taken back for a week.
  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  dynamic "lifecycle_rule" {
    for_each = { NEARLINE = 30, COLDLINE = 90, ARCHIVE = 365 }

    content {
      action {
        type          = "SetStorageClass"
        storage_class = lifecycle_rule.key
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = local.retention_days
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket" "scratch" {
  #checkov:skip=CKV_GCP_78:a candidate's batches are thrown away after a week
  #checkov:skip=CKV_GCP_62:audit.tf has each access to every object logged, which usage logs would repeat
  name     = "${var.project}-scratch"
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  # What a candidate wrote exists elsewhere.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 7
    }
  }

  depends_on = [google_project_service.this]
}
