# The objectives, in environments where the schedule runs: the day's bars in time, and an API that answers. Alerts depend
# on how fast the errors that an objective allows are used up.
resource "google_monitoring_custom_service" "this" {
  count = local.is_watched ? 1 : 0

  service_id   = "trading-data"
  display_name = "Trading data"

  depends_on = [google_project_service.this]
}

resource "google_monitoring_slo" "freshness" {
  count = local.is_watched ? 1 : 0

  service             = google_monitoring_custom_service.this[0].service_id
  slo_id              = "freshness"
  display_name        = "The bars of a session are in the marts by 19:15 IST, of 99 % of sessions"
  goal                = 0.99
  rolling_period_days = 30

  request_based_sli {
    good_total_ratio {
      total_service_filter = "resource.type=\"cloud_run_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["trading_data_session_checks"].name}\""
      good_service_filter  = "resource.type=\"cloud_run_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["trading_data_session_checks"].name}\" AND metric.labels.is_fresh=\"true\""
    }
  }
}

# Requests come from six places of the world, with an identity, because the API is not public. /live reads no data, so the
# requests cost nothing.
resource "google_monitoring_uptime_check_config" "api" {
  count = local.is_watched ? 1 : 0

  display_name = "Trading data: the API answers"
  period       = "300s"
  timeout      = "10s"

  http_check {
    path         = "/live"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    service_agent_authentication {
      type = "OIDC_TOKEN"
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project
      host       = trimprefix(google_cloud_run_v2_service.api.uri, "https://")
    }
  }
}

resource "google_monitoring_slo" "availability" {
  count = local.is_watched ? 1 : 0

  service             = google_monitoring_custom_service.this[0].service_id
  slo_id              = "availability"
  display_name        = "The API answers, in 99.9 % of all five minutes"
  goal                = 0.999
  rolling_period_days = 30

  windows_based_sli {
    window_period          = "300s"
    good_bad_metric_filter = "resource.type=\"uptime_url\" AND metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.api[0].uptime_check_id}\""
  }
}

locals {
  # A burn rate of 1 uses up the errors of 30 days in 30 days. One late session is already more than 1 % of the sessions of
  # 30 days: it raises an alert at once, and the next one raises a new alert, because the window is an hour. For the API,
  # 14.4 for an hour is 2 % of the month's errors, and 3 for a day is 10 %.
  burn_rates = !local.is_watched ? {} : {
    freshness = {
      name = "The day's bars are late", severity = "ERROR", slo = google_monitoring_slo.freshness[0].name, over = "3600s", rate = 1
      look = "gcloud run jobs executions list --job=trading-data ${local.job_flags}"
    }
    availability_fast = {
      name = "The API does not answer", severity = "ERROR", slo = google_monitoring_slo.availability[0].name, over = "3600s", rate = 14.4
      look = "gcloud run services describe trading-data-api ${local.job_flags}"
    }
    availability_slow = {
      name = "The API fails too often", severity = "WARNING", slo = google_monitoring_slo.availability[0].name, over = "86400s", rate = 3
      look = "gcloud run services describe trading-data-api ${local.job_flags}"
    }
  }
}

resource "google_monitoring_alert_policy" "burn_rate" {
  for_each = local.burn_rates

  display_name          = "Trading data: ${each.value.name}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels[each.value.severity]

  conditions {
    display_name = "The errors of a month are used up ${each.value.rate} times as fast as promised"

    condition_threshold {
      filter          = "select_slo_burn_rate(\"${each.value.slo}\", \"${each.value.over}\")"
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.rate
      duration        = "0s"
    }
  }

  alert_strategy {
    auto_close = local.auto_close
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "${each.value.name}" in infra/README.md. Where to look first:

          ${each.value.look}
    TEXT
  }
}
