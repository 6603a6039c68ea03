mock_provider "google" {}

variables {
  project     = "trading-data-test"
  environment = "dev"
  image       = "images.example/trading-data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
}

run "the_service_as_it_is_created" {
  command = plan

  assert {
    condition = (
      sum(google_cloud_run_v2_service.api.traffic[*].percent) == 100
      && google_cloud_run_v2_service.api.traffic[0].type == "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    )
    error_message = "The latest revision has everything; the shares add up to 100."
  }

  assert {
    condition = (
      google_cloud_run_v2_service.api.ingress == "INGRESS_TRAFFIC_ALL"
      && google_cloud_run_v2_service.api.invoker_iam_disabled == false
      && google_cloud_run_v2_service.api.template[0].containers[0].startup_probe[0].http_get[0].path == "/live"
      && google_cloud_run_v2_service.api.template[0].containers[0].liveness_probe[0].http_get[0].path == "/live"
      && google_cloud_run_v2_service.api.template[0].scaling[0].min_instance_count == 0
      && google_cloud_run_v2_service.api.template[0].scaling[0].max_instance_count == 1
    )
    error_message = "The service asks who calls, is restarted where it does not answer, and stays small."
  }

  assert {
    condition = toset([
      for env in google_cloud_run_v2_service.api.template[0].containers[0].env : "${env.name} ${env.value}"
      if contains(["API_AUTHENTICATION", "TRIGGER_JOB"], env.name)
      ]) == toset([
      "API_AUTHENTICATION cloud_run",
      "TRIGGER_JOB projects/trading-data-test/locations/asia-south1/jobs/trading-data",
    ])
    error_message = "The service takes whom IAM lets through, and starts the live job."
  }
}
