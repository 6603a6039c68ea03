mock_provider "google" {}

variables {
  project     = "trading-data-test"
  environment = "dev"
  image       = "images.example/trading-data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
}

run "traffic_without_a_split" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.api.traffic[*].percent == tolist([100])
      && google_cloud_run_v2_service.api.traffic[0].type == "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    )
    error_message = "Without a stable revision the latest has everything."
  }

  assert {
    condition = (
      google_cloud_run_v2_service.api.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
      && google_cloud_run_v2_service.api.invoker_iam_disabled == false
      && google_cloud_run_v2_service.api.template[0].containers[0].startup_probe[0].http_get[0].path == "/health"
      && google_cloud_run_v2_service.api.template[0].containers[0].liveness_probe[0].http_get[0].path == "/health"
      && google_cloud_run_v2_service.api.template[0].scaling[0].min_instance_count == 0
      && google_cloud_run_v2_service.api.template[0].scaling[0].max_instance_count == 2
    )
    error_message = "The service is inside, asks who calls, says how it is, and stays small."
  }

  assert {
    condition = contains(
      [for env in google_cloud_run_v2_service.api.template[0].containers[0].env : "${env.name} ${env.value}" if env.name == "TRIGGER_JOB"],
      "TRIGGER_JOB projects/trading-data-test/locations/asia-south1/jobs/trading-data",
    )
    error_message = "The service starts the live job."
  }
}

run "traffic_with_a_split" {
  command = plan

  variables {
    stable_revision    = "trading-data-api-00001-abc"
    candidate_revision = "trading-data-api-00002-def"
    candidate_percent  = 10
  }

  assert {
    condition     = sum(google_cloud_run_v2_service.api.traffic[*].percent) == 100
    error_message = "The shares add up to 100."
  }

  assert {
    condition = { for target in google_cloud_run_v2_service.api.traffic : target.tag => "${target.revision} ${target.percent}" } == {
      stable    = "trading-data-api-00001-abc 90"
      candidate = "trading-data-api-00002-def 10"
    }
    error_message = "The candidate has its share, and the stable revision the rest."
  }
}

run "a_candidate_that_nobody_is_sent_to" {
  command = plan

  variables {
    stable_revision = "trading-data-api-00001-abc"
  }

  assert {
    condition     = { for target in google_cloud_run_v2_service.api.traffic : target.tag => target.percent } == { stable = 100, candidate = 0 }
    error_message = "A new image is reachable by its tag alone until it is given a share."
  }
}
