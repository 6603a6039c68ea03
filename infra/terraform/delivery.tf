resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:the images hold our code and open packages; Google's own keys encrypt them at rest
  location      = var.region
  repository_id = "trading-data"
  description   = "The images of the job and the service"
  format        = "DOCKER"

  # What runs is named by its digest, so tags need not be immutable; and an image with an immutable tag cannot be deleted.
  docker_config {
    immutable_tags = false
  }

  # The last hundred images stay, whatever their age: an environment may run an old one.
  cleanup_policies {
    id     = "keep-the-last-hundred"
    action = "KEEP"

    most_recent_versions {
      keep_count = 100
    }
  }

  cleanup_policies {
    id     = "delete-older-ones"
    action = "DELETE"

    condition {
      tag_state  = "ANY"
      older_than = "7776000s"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository_iam_member" "builder" {
  count = var.builds_images ? 1 : 0

  repository = google_artifact_registry_repository.this.name
  location   = google_artifact_registry_repository.this.location
  role       = "roles/artifactregistry.writer"
  member     = local.members["builder"]
}

resource "google_artifact_registry_repository_iam_member" "readers" {
  # The deployer and the scanner of this environment; and Cloud Run's own account, the deployer and the scanner of each
  # other environment.
  for_each = merge(
    { for name in ["deployer", "scanner"] : name => local.members[name] },
    merge([
      for id, number in var.image_reader_projects : {
        "${id} run"      = "serviceAccount:service-${number}@serverless-robot-prod.iam.gserviceaccount.com"
        "${id} deployer" = "serviceAccount:trading-data-deployer@${id}.iam.gserviceaccount.com"
        "${id} scanner"  = "serviceAccount:trading-data-scanner@${id}.iam.gserviceaccount.com"
      }
    ]...),
  )

  repository = google_artifact_registry_repository.this.name
  location   = google_artifact_registry_repository.this.location
  role       = "roles/artifactregistry.reader"
  member     = each.value
}

locals {
  # By the subject that GitHub gives a workflow in an environment, after its reviewers have approved: the account that the
  # workflow may act as.
  github_accounts = var.github_repository == null ? {} : {
    for environment, account in merge(
      { (var.environment) = "deployer", "scan-${var.environment}" = "scanner" },
      var.builds_images ? { build = "builder" } : {},
    ) : "repo:${var.github_repository}:environment:${environment}" => account
  }
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

  # A workflow of any branch may name an environment, and a name that is given up at GitHub may be registered by others.
  attribute_condition = join(" && ", [
    "assertion.repository_owner_id == '${var.github_owner_id}'",
    "assertion.ref == 'refs/heads/main'",
    "assertion.sub in ['${join("', '", keys(local.github_accounts))}']",
  ])

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "github" {
  for_each = local.github_accounts

  service_account_id = google_service_account.this[each.value].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/subject/${each.key}"
}
