locals {
  run_filter = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"trading-data\""

  # Of the line that each run ends with. A value can be taken from a log only into a distribution; its sum and mean are exact.
  run_metrics = {
    trading_data_run_seconds     = { field = "elapsed_seconds", unit = "s", description = "How long a run took." }
    trading_data_landed_rows     = { field = "landed_row_count", unit = "1", description = "Rows that a run appended to raw." }
    trading_data_requests        = { field = "request_count", unit = "1", description = "Requests that a run sent." }
    trading_data_failed_requests = { field = "failed_request_count", unit = "1", description = "Requests of a run that failed." }
    trading_data_score           = { field = "quality_score", unit = "1", description = "The quality score, of 100." }
  }

  event_metrics = {
    trading_data_runs            = { message = "run finished", label = "exit_status", description = "Runs: 0 done, 1 failed, 3 degraded." }
    trading_data_source_given_up = { message = "source given up", label = "source", description = "A source that a run gave up." }
  }

  channels = concat(
    [for channel in google_monitoring_notification_channel.email : channel.id],
    google_monitoring_notification_channel.slack[*].id,
  )

  job_flags = "--region=${var.region} --project=${var.project}"
}

resource "google_logging_metric" "run" {
  for_each = local.run_metrics

  name            = each.key
  description     = each.value.description
  filter          = "${local.run_filter} AND jsonPayload.message=\"run finished\""
  value_extractor = "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 40
      growth_factor      = 1.5
      scale              = 1
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "event" {
  for_each = local.event_metrics

  name        = each.key
  description = each.value.description
  filter      = "${local.run_filter} AND jsonPayload.message=\"${each.value.message}\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key        = each.value.label
      value_type = "STRING"
    }
  }

  label_extractors = {
    (each.value.label) = "EXTRACT(jsonPayload.${each.value.label})"
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = file("${path.module}/dashboard.json")

  depends_on = [google_logging_metric.run, google_logging_metric.event]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = "Trading data: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_notification_channel" "slack" {
  count = var.slack_channel == null ? 0 : 1

  display_name = "Trading data: ${var.slack_channel}"
  type         = "slack"
  labels       = { channel_name = var.slack_channel }

  sensitive_labels {
    auth_token = var.slack_auth_token
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "failed_run" {
  display_name          = "Trading data: A run failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "An execution failed, its retries included"

    condition_threshold {
      filter          = "${local.run_filter} AND metric.type=\"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result=\"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "A run failed" in infra/README.md. What it said:

          gcloud logging read '${local.run_filter} AND severity>=ERROR' --freshness=1d --project=${var.project}

      To run it again, as often as you like:

          gcloud run jobs execute trading-data ${local.job_flags}
    TEXT
  }
}

resource "google_monitoring_alert_policy" "no_good_run" {
  display_name          = "Trading data: No good run in 26 hours"
  combiner              = "OR"
  severity              = "CRITICAL"
  enabled               = !var.schedule_paused
  notification_channels = local.channels

  # A condition of absence ends at 23.5 hours, which a daily run needs to be late by none.
  conditions {
    display_name = "No execution succeeded in 26 hours"

    condition_prometheus_query_language {
      query               = "absent_over_time(run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\",job_name=\"trading-data\",result=\"succeeded\"}[26h])"
      duration            = "0s"
      evaluation_interval = "300s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "No good run in 26 hours" in infra/README.md. Whether it was started, and how it ended:

          gcloud scheduler jobs list --location=${var.region} --project=${var.project}
          gcloud run jobs executions list --job=trading-data ${local.job_flags}

      To run it now:

          gcloud run jobs execute trading-data ${local.job_flags}
    TEXT
  }
}

resource "google_monitoring_alert_policy" "low_score" {
  display_name          = "Trading data: The score fell"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "A run's quality score is below ${var.score_line}"

    condition_threshold {
      filter          = "resource.type=\"cloud_run_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.run["trading_data_score"].name}\""
      comparison      = "COMPARISON_LT"
      threshold_value = var.score_line
      duration        = "0s"

      aggregations {
        alignment_period     = "3600s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_MEAN"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "The score fell" in infra/README.md. Which sessions, and which checks:

          bq query --project_id=${var.project} --use_legacy_sql=false 'select trade_date, quality_score, missing_bar_count, invalid_bar_count from ${local.dataset}_quality.quality_scores_by_session order by trade_date desc limit 10'
          bq query --project_id=${var.project} --use_legacy_sql=false 'select check_id, count(*) as bars from ${local.dataset}_quality.quality_bar_checks where status = "failed" and trade_date >= current_date() - 7 group by check_id order by bars desc'
    TEXT
  }
}

resource "google_monitoring_alert_policy" "source_down" {
  display_name          = "Trading data: A source is down"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "A run gave a source up"

    condition_threshold {
      filter          = "resource.type=\"cloud_run_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.event["trading_data_source_given_up"].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["metric.label.source"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "A source is down" in infra/README.md. Why it was given up:

          gcloud logging read '${local.run_filter} AND jsonPayload.message="source given up"' --freshness=1d --project=${var.project}

      Where it is Kite whose session ended, log in, then run again:

          KITE_TOKEN_STORE=projects/${var.project}/secrets/kite-session trading-data kite-login
          gcloud run jobs execute trading-data ${local.job_flags}
    TEXT
  }
}

resource "google_monitoring_alert_policy" "slow_run" {
  display_name          = "Trading data: The run is slow"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "A run took longer than ${var.slow_run_seconds} seconds"

    condition_threshold {
      filter          = "resource.type=\"cloud_run_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.run["trading_data_run_seconds"].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.slow_run_seconds
      duration        = "0s"

      aggregations {
        alignment_period     = "3600s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_MEAN"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "The run is slow" in infra/README.md. What the last runs took, asked and missed:

          gcloud logging read '${local.run_filter} AND jsonPayload.message="run finished"' --freshness=7d --project=${var.project} --format='table(timestamp,jsonPayload.elapsed_seconds,jsonPayload.request_count,jsonPayload.failed_request_count)'
    TEXT
  }
}

resource "google_monitoring_alert_policy" "told" {
  display_name          = "Trading data: A person should know"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  # Of the view operations_alerts, which each run logs, a line for each.
  conditions {
    display_name = "A run logged an alert"

    condition_matched_log {
      filter = "${local.run_filter} AND severity>=WARNING AND jsonPayload.alert_id:*"

      label_extractors = {
        alert_id = "EXTRACT(jsonPayload.alert_id)"
        subject  = "EXTRACT(jsonPayload.subject)"
        text     = "EXTRACT(jsonPayload.message)"
        remedy   = "EXTRACT(jsonPayload.remedy)"
      }
    }
  }

  # Cloud Monitoring takes no shorter one.
  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "300s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      $${log.extracted_label.text}

          $${log.extracted_label.remedy}

      See "A person should know" in infra/README.md. A run may have logged more; all of it:

          gcloud logging read '${local.run_filter} AND jsonPayload.alert_id:*' --freshness=1d --project=${var.project} --format='table(severity,jsonPayload.message,jsonPayload.remedy)'
    TEXT
  }
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_billing_budget" "this" {
  count = var.billing_account == null ? 0 : 1

  billing_account = var.billing_account
  display_name    = "Trading data ${var.environment}: The budget in infra/README.md"

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      currency_code = var.budget_currency
      units         = tostring(var.monthly_budget)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]

    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = local.channels
  }

  depends_on = [google_project_service.this]
}
