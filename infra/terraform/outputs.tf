output "job" {
  description = "The job, as the API's TRIGGER_JOB names it."
  value       = google_cloud_run_v2_job.this["live"].id
}

output "service_uri" {
  description = "Where the API answers."
  value       = google_cloud_run_v2_service.api.uri
}

output "archive_uri" {
  description = "The archive, as ARCHIVE_URI names it."
  value       = local.live_archive
}

output "secrets" {
  description = "The secrets that want a version: `gcloud secrets versions add NAME --data-file=-`."
  value       = sort([for secret in google_secret_manager_secret.this : secret.secret_id])
}

output "images" {
  description = "The repository of the images."
  value       = google_artifact_registry_repository.this.id
}

output "accounts" {
  description = "The service accounts' addresses."
  value       = { for name, account in google_service_account.this : name => account.email }
}

output "workload_identity_provider" {
  description = "What a GitHub workflow names to log in; null without a github_repository."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}
