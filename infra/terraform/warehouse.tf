locals {
  dataset           = "trading_data"
  candidate_dataset = "trading_data_candidate"

  layers = {
    raw          = { suffix = "_raw", description = "What the providers sent, append-only, under their own names." }
    staging      = { suffix = "_staging", description = "Raw, renamed and cast, with the exchange's dates." }
    intermediate = { suffix = "_intermediate", description = "Bars deduplicated, compared, checked and chosen; and the seeds." }
    marts        = { suffix = "", description = "The daily bars, and what explains them." }
    quality      = { suffix = "_quality", description = "What should exist against what does." }
    operations   = { suffix = "_operations", description = "What the runs asked for, and what came." }
  }

  # The layers whose tables the views of each layer may read, so that a reader of marts or quality needs no access to them.
  view_sources = {
    staging      = ["raw"]
    intermediate = ["marts", "staging"]
    marts        = ["intermediate"]
    quality      = ["intermediate", "marts", "staging"]
    operations   = ["intermediate", "marts", "quality", "raw", "staging"]
  }

  raw_tables = jsondecode(file("${path.module}/raw_tables.json"))
}

resource "google_bigquery_dataset" "live" {
  #checkov:skip=CKV_GCP_81:market prices that anyone can buy; Google's own keys encrypt them at rest
  for_each = local.layers

  dataset_id                 = "${local.dataset}${each.value.suffix}"
  description                = each.value.description
  location                   = var.region
  max_time_travel_hours      = "168"
  delete_contents_on_destroy = !local.is_protected

  depends_on = [google_project_service.this]
}

resource "google_bigquery_dataset" "candidate" {
  #checkov:skip=CKV_GCP_81:market prices that anyone can buy; Google's own keys encrypt them at rest
  for_each = local.layers

  dataset_id                 = "${local.candidate_dataset}${each.value.suffix}"
  description                = "A candidate's: ${each.value.description}"
  location                   = var.region
  max_time_travel_hours      = "168"
  delete_contents_on_destroy = true

  # As long as the scratch bucket keeps the batches.
  default_table_expiration_ms = 7 * 24 * 60 * 60 * 1000

  depends_on = [google_project_service.this]
}

# The job also creates these if they are missing; the tests check that the file agrees with the job's code.
resource "google_bigquery_table" "raw" {
  #checkov:skip=CKV_GCP_80:market prices that anyone can buy; Google's own keys encrypt them at rest
  #checkov:skip=CKV_GCP_121:true from staging on, which local.is_protected decides
  for_each = local.raw_tables

  dataset_id          = google_bigquery_dataset.live["raw"].dataset_id
  table_id            = each.key
  deletion_protection = local.is_protected
  clustering          = each.value.clustering
  schema              = jsonencode(each.value.columns)

  time_partitioning {
    type  = "DAY"
    field = each.value.partition
  }
}

# Access entries and not IAM members, because IAM members would remove the entries that authorise views.
resource "google_bigquery_dataset_access" "views" {
  for_each = merge([
    for reader, owners in local.view_sources : { for owner in owners : "${reader} reads ${owner}" => { reader = reader, owner = owner } }
  ]...)

  dataset_id = google_bigquery_dataset.live[each.value.owner].dataset_id

  dataset {
    dataset {
      project_id = var.project
      dataset_id = google_bigquery_dataset.live[each.value.reader].dataset_id
    }
    target_types = ["VIEWS"]
  }
}
