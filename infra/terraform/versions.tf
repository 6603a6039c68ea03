terraform {
  # The first version in which the validation of a variable can read another variable.
  required_version = ">= 1.9"

  required_providers {
    google = {
      source = "hashicorp/google"
      # The tests hold what is said of this version; .terraform.lock.hcl takes no other.
      version = "~> 6.50.0"
    }
  }

  # Which bucket and prefix: environments/*.gcs.tfbackend.
  backend "gcs" {}
}

provider "google" {
  project = var.project
  region  = var.region

  # The budgets API accepts a person's credentials only with a project that pays for the call. Then every API must be
  # enabled in this project, Resource Manager and Service Usage too, before the first apply: infra/README.md, "Deploy from
  # nothing".
  user_project_override = true
  billing_project       = var.project

  default_labels = {
    pipeline    = "trading_data"
    environment = var.environment
  }
}

locals {
  # The only place where rules depend on the environment.
  is_protected        = var.environment != "dev"
  is_retention_locked = var.environment == "prod"
  is_watched          = !var.schedule_paused
}

resource "google_project_service" "this" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "bigquery.googleapis.com",
    "billingbudgets.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
  ])

  project = var.project
  service = each.key

  # Others in the project may use it.
  disable_on_destroy = false
}
