locals {
  # Runs are executions of two jobs: the scheduled one, and the one that the API starts. Metrics and logs have each their
  # own form of "one of".
  live_metrics = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=one_of(\"${local.jobs.live.name}\", \"${local.jobs.triggered.name}\")"
  live_filter  = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=(\"${local.jobs.live.name}\" OR \"${local.jobs.triggered.name}\")"

  # Metrics of the lines that our own commands log; tests/reports/test_log_filters.py runs them over lines that were
  # really written. A value from a log can only become a distribution, whose sum and mean are exact.
  log_metrics = jsondecode(file("${path.module}/log_metrics.json"))

  # People read mail in the morning; an error also pages somebody.
  email_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  channels = {
    WARNING  = concat(local.email_channels, sort(var.alert_channels))
    ERROR    = concat(local.email_channels, sort(var.alert_channels), sort(var.paging_channels))
    CRITICAL = concat(local.email_channels, sort(var.alert_channels), sort(var.paging_channels))
  }

  # While an incident is open, further events send no notification. The metrics below have points only when something
  # happens, so without this an incident would stay open for a week. Cloud Monitoring accepts no shorter time.
  auto_close = "1800s"

  job_flags = "--region=${var.region} --project=${var.project}"
}

resource "google_logging_metric" "this" {
  for_each = local.log_metrics

  name        = each.key
  description = each.value.description
  filter = join(" AND ", concat(
    [
      each.value.job == local.jobs.live.name ? local.live_filter : "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${each.value.job}\"",
      "jsonPayload.message=\"${each.value.message}\"",
    ],
    [for field, value in lookup(each.value, "where", {}) : "jsonPayload.${field}=${value}"],
  ))
  value_extractor  = contains(keys(each.value), "value") ? "EXTRACT(jsonPayload.${each.value.value})" : null
  label_extractors = { for label in lookup(each.value, "labels", []) : label => "EXTRACT(jsonPayload.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = contains(keys(each.value), "value") ? "DISTRIBUTION" : "INT64"
    unit        = lookup(each.value, "unit", "1")

    dynamic "labels" {
      for_each = lookup(each.value, "labels", [])

      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  dynamic "bucket_options" {
    for_each = contains(keys(each.value), "value") ? [each.key] : []

    content {
      exponential_buckets {
        num_finite_buckets = 40
        growth_factor      = 1.5
        scale              = 1
      }
    }
  }

  depends_on = [google_project_service.this]
}

# Counts Cloud Scheduler's own log lines: no execution began, so no other metric changes.
resource "google_logging_metric" "start_failed" {
  name        = "trading_data_start_failed"
  description = "A schedule that could not start its job."
  filter      = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id:\"trading-data-\" AND severity>=ERROR"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = file("${path.module}/dashboard.json")

  depends_on = [google_logging_metric.this]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = "Trading data: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "failed_run" {
  display_name          = "Trading data: A run failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels.ERROR

  conditions {
    display_name = "An execution failed, its retries included"

    condition_threshold {
      filter          = "${local.live_metrics} AND metric.type=\"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result=\"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  conditions {
    display_name = "A schedule could not start its job"

    condition_threshold {
      filter          = "resource.type=\"cloud_scheduler_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.start_failed.name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  alert_strategy {
    auto_close = local.auto_close
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "A run failed" in infra/README.md. What it said:

          gcloud logging read '${local.live_filter} AND severity>=ERROR' --freshness=1d --project=${var.project}

      To run it again, as often as you like:

          gcloud run jobs execute trading-data ${local.job_flags}
    TEXT
  }
}

# A run that is killed writes no line itself; one that hangs is killed after an hour, and is tried twice more.
resource "google_monitoring_alert_policy" "failed_attempt" {
  display_name          = "Trading data: An attempt failed"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels.WARNING

  conditions {
    display_name = "An attempt failed, was killed, or ran out of time or memory"

    condition_threshold {
      filter          = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=one_of(\"${local.jobs.live.name}\", \"${local.jobs.triggered.name}\", \"${local.jobs.watch.name}\") AND metric.type=\"run.googleapis.com/job/completed_task_attempt_count\" AND metric.labels.result=\"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  alert_strategy {
    auto_close = local.auto_close
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "An attempt failed" in infra/README.md. How its executions ended, and what the last one said:

          gcloud run jobs executions list --job=trading-data ${local.job_flags}
          gcloud run jobs executions list --job=trading-data-triggered ${local.job_flags}
          gcloud logging read '${local.live_filter}' --limit=50 --freshness=1d --project=${var.project}
    TEXT
  }
}

resource "google_monitoring_alert_policy" "no_good_run" {
  display_name          = "Trading data: No good run in 26 hours"
  combiner              = "OR"
  severity              = "CRITICAL"
  enabled               = local.is_watched
  notification_channels = local.channels.CRITICAL

  # It counts the log lines of runs, because an execution of any other command is successful too. It is a sum, because no
  # points and points of zero both mean none; and a query, because a condition of absence covers at most 23.5 hours.
  conditions {
    display_name = "No run ended well in 26 hours"

    condition_prometheus_query_language {
      query               = "(sum(increase(logging_googleapis_com:user_trading_data_runs{monitored_resource=\"cloud_run_job\",command=\"run\",exit_status=~\"0|3\"}[26h])) or vector(0)) < 1"
      duration            = "0s"
      evaluation_interval = "300s"
    }
  }

  alert_strategy {
    auto_close = local.auto_close
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

  depends_on = [google_logging_metric.this]
}

resource "google_monitoring_alert_policy" "slow_run" {
  display_name          = "Trading data: The run is slow"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels.WARNING

  # Measured while it runs: its own log line comes only at the end, and never if it hangs.
  conditions {
    display_name = "An execution has been on its way for ${var.slow_run_seconds} seconds"

    condition_threshold {
      filter          = "${local.live_metrics} AND metric.type=\"run.googleapis.com/job/running_executions\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "${var.slow_run_seconds}s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  alert_strategy {
    auto_close = local.auto_close
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "The run is slow" in infra/README.md. What it does now, and what the last runs took, asked and missed:

          gcloud logging read '${local.live_filter}' --limit=20 --freshness=2h --project=${var.project}
          gcloud logging read '${local.live_filter} AND jsonPayload.message="run finished"' --freshness=7d --project=${var.project} --format='table(timestamp,jsonPayload.elapsed_seconds,jsonPayload.request_count,jsonPayload.failed_request_count)'
    TEXT
  }
}

resource "google_monitoring_alert_policy" "failed_drill" {
  display_name          = "Trading data: A restore failed"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels.WARNING

  conditions {
    display_name = "The candidate job failed"

    condition_threshold {
      filter          = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${local.jobs.candidate.name}\" AND metric.type=\"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result=\"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  alert_strategy {
    auto_close = local.auto_close
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      See "A restore failed" in infra/README.md. What it said, and how to try again:

          gcloud logging read 'resource.type="cloud_run_job" AND resource.labels.job_name="${local.jobs.candidate.name}" AND severity>=ERROR' --freshness=1d --project=${var.project}
          gcloud run jobs execute ${local.jobs.candidate.name} ${local.job_flags}
    TEXT
  }
}

locals {
  # Each run logs a line for each row of the view operations_alerts. One policy notifies of each of these severities.
  told = {
    WARNING = { name = "A person should know", filter = "severity=WARNING" }
    ERROR   = { name = "A person should act", filter = "severity>=ERROR" }
  }
}

resource "google_monitoring_alert_policy" "told" {
  for_each = local.told

  display_name          = "Trading data: ${each.value.name}"
  combiner              = "OR"
  severity              = each.key
  notification_channels = local.channels[each.key]

  conditions {
    display_name = "A run logged an alert"

    condition_matched_log {
      filter = "${local.live_filter} AND ${each.value.filter} AND jsonPayload.alert_id:*"

      label_extractors = {
        alert_id = "EXTRACT(jsonPayload.alert_id)"
        subject  = "EXTRACT(jsonPayload.subject)"
        text     = "EXTRACT(jsonPayload.message)"
        remedy   = "EXTRACT(jsonPayload.remedy)"
      }
    }
  }

  # Cloud Monitoring accepts no shorter times.
  alert_strategy {
    auto_close = local.auto_close

    notification_rate_limit {
      period = "300s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-TEXT
      $${log.extracted_label.text}

          $${log.extracted_label.remedy}

      See "${each.value.name}" in infra/README.md. A run may have logged more; all of it:

          gcloud logging read '${local.live_filter} AND jsonPayload.alert_id:*' --freshness=1d --project=${var.project} --format='table(severity,jsonPayload.message,jsonPayload.remedy)'
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

  # A budget notifies only by mail, to five addresses at most. Its administrators are notified in any case.
  dynamic "all_updates_rule" {
    for_each = length(var.alert_emails) == 0 ? [] : [local.email_channels]

    content {
      monitoring_notification_channels = all_updates_rule.value
    }
  }

  depends_on = [google_project_service.this]
}
