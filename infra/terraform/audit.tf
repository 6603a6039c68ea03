resource "google_project_iam_audit_config" "this" {
  project = var.project
  service = "allServices"

  dynamic "audit_log_config" {
    for_each = toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])

    content {
      log_type = audit_log_config.key
    }
  }
}

resource "google_logging_project_bucket_config" "audit" {
  project        = var.project
  location       = var.region
  bucket_id      = "trading-data-audit"
  description    = "Who did what, and who read what."
  retention_days = var.retention_days
  locked         = local.is_retention_locked

  depends_on = [google_project_service.this]
}

# A bucket of the same project needs no grant to the sink's writer.
resource "google_logging_project_sink" "audit" {
  name                   = "trading-data-audit"
  destination            = "logging.googleapis.com/${google_logging_project_bucket_config.audit.id}"
  filter                 = "logName:\"cloudaudit.googleapis.com\""
  unique_writer_identity = true
}
