mock_provider "google" {}

variables {
  project     = "trading-data-test"
  environment = "dev"
  image       = "images.example/trading-data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
}

run "another_environment" {
  command = plan

  variables {
    environment = "production"
  }

  expect_failures = [var.environment]
}

run "a_tag" {
  command = plan

  variables {
    image = "images.example/trading-data:latest"
  }

  expect_failures = [var.image]
}

run "everybody" {
  command = plan

  variables {
    api_invokers = ["allUsers"]
  }

  expect_failures = [var.api_invokers]
}

run "a_project_that_nobody_filled_in" {
  command = plan

  variables {
    project = "PROJECT"
  }

  expect_failures = [var.project]
}

run "more_addresses_than_a_budget_takes" {
  command = plan

  variables {
    alert_emails = ["a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com", "f@example.com"]
  }

  expect_failures = [var.alert_emails]
}

run "a_channel_by_its_display_name" {
  command = plan

  variables {
    paging_channels = ["PagerDuty"]
  }

  expect_failures = [var.paging_channels]
}

run "a_repository_without_the_number_of_its_owner" {
  command = plan

  variables {
    github_repository = "example/trading-data"
  }

  expect_failures = [var.github_owner_id]
}

run "three_regions" {
  command = plan

  variables {
    archive_regions = ["ASIA-SOUTH1", "ASIA-SOUTH2", "ASIA-SOUTHEAST1"]
  }

  expect_failures = [var.archive_regions]
}

run "more_warm_instances_than_there_may_be" {
  command = plan

  variables {
    service = { min_instances = 2 }
  }

  expect_failures = [var.service]
}

run "a_job_before_its_image" {
  command = plan

  variables {
    image = null
  }

  expect_failures = [google_cloud_run_v2_job.this, google_cloud_run_v2_service.api]
}
