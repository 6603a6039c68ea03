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
      && length(google_cloud_run_v2_service.api.template[0].vpc_access) == 0
      && google_cloud_run_v2_service.api.template[0].containers[0].resources[0].cpu_idle
    )
    error_message = "The service asks who calls, is restarted where it does not answer, stays small, and is billed while it serves."
  }

  assert {
    condition = toset([
      for env in google_cloud_run_v2_service.api.template[0].containers[0].env : "${env.name} ${env.value}"
      if contains(["API_AUTHENTICATION", "TRIGGER_JOB"], env.name)
      ]) == toset([
      "API_AUTHENTICATION cloud_run",
      "TRIGGER_JOB projects/trading-data-test/locations/asia-south1/jobs/trading-data-triggered",
    ])
    error_message = "The service takes whom IAM lets through, and starts the live job."
  }
}

run "a_size_that_is_asked_for" {
  command = plan

  variables {
    service = { min_instances = 1, max_instances = 10, cpu = "2", memory = "2Gi", timeout_seconds = 3600, concurrency = 1000 }
    job     = { cpu = "4", memory = "8Gi", timeout_seconds = 7200 }
  }

  assert {
    condition = (
      google_cloud_run_v2_service.api.template[0].scaling[0].min_instance_count == 1
      && google_cloud_run_v2_service.api.template[0].scaling[0].max_instance_count == 10
      && google_cloud_run_v2_service.api.template[0].timeout == "3600s"
      && google_cloud_run_v2_service.api.template[0].max_instance_request_concurrency == 1000
      && google_cloud_run_v2_service.api.template[0].containers[0].resources[0].limits == tomap({ cpu = "2", memory = "2Gi" })
      && google_cloud_run_v2_job.this["live"].template[0].template[0].timeout == "7200s"
      && google_cloud_run_v2_job.this["live"].template[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "4", memory = "8Gi" })
    )
    error_message = "Sizes are variables."
  }
}
