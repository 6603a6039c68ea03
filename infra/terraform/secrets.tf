# Only the secrets' names are here. Their values are added with `gcloud secrets versions add`, and so are in no state.
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
