resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:the images hold our code and open packages; Google's own keys encrypt them at rest
  location      = var.region
  repository_id = "trading-data"
  description   = "The images of the job and the service"
  format        = "DOCKER"

  # What a tag once named, it names for ever.
  docker_config {
    immutable_tags = true
  }

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository_iam_member" "deployer" {
  repository = google_artifact_registry_repository.this.name
  location   = google_artifact_registry_repository.this.location
  role       = "roles/artifactregistry.writer"
  member     = local.members["deployer"]
}

resource "google_artifact_registry_repository_iam_member" "readers" {
  for_each = var.image_readers

  repository = google_artifact_registry_repository.this.name
  location   = google_artifact_registry_repository.this.location
  role       = "roles/artifactregistry.reader"
  member     = each.key
}

locals {
  # What GitHub says of a workflow that runs in an environment, after its reviewers have agreed.
  github_subjects = [
    for environment in concat([var.environment], var.builds_images ? ["build"] : []) :
    "repo:${coalesce(var.github_repository, "nobody")}:environment:${environment}"
  ]
}

resource "google_iam_workload_identity_pool" "github" {
  count = var.github_repository == null ? 0 : 1

  workload_identity_pool_id = "trading-data-github"
  display_name              = "GitHub Actions"

  depends_on = [google_project_service.this]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:it reads the repository's default, which is none; tests/identity.tftest.hcl holds the condition
  count = var.github_repository == null ? 0 : 1

  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"
  attribute_condition                = "assertion.sub in ['${join("', '", local.github_subjects)}']"

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "github" {
  for_each = var.github_repository == null ? [] : toset(local.github_subjects)

  service_account_id = google_service_account.this["deployer"].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/subject/${each.key}"
}
