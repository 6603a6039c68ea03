# Only the names of the secrets are here. Their values are added with `gcloud secrets versions add`, so no state has them.
resource "google_secret_manager_secret" "this" {
  for_each = setunion(
    ["kite-api-key", "kite-api-secret", "kite-session"],
    var.has_alpha_vantage ? ["alpha-vantage-api-key"] : [],
    var.has_alert_webhook ? ["alert-webhook-url"] : [],
  )

  secret_id = each.key

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.this]
}
