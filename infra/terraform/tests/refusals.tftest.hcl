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

run "a_slack_channel_without_its_token" {
  command = plan

  variables {
    slack_channel = "#trading-data"
  }

  expect_failures = [var.slack_auth_token]
}
