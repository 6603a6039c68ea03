variable "project" {
  description = "The Google Cloud project; one per environment."
  type        = string
}

variable "region" {
  description = "Where everything is, and stays."
  type        = string
  default     = "asia-south1"
}

variable "environment" {
  description = "dev, staging or prod. From staging on nothing is deleted by mistake; in prod the archive's retention is locked, for ever."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment is dev, staging or prod."
  }
}

variable "image" {
  description = "The image of the job and the service, by digest: what was tested is what runs."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image is NAME@sha256:DIGEST; a tag can be moved."
  }
}

variable "api_ingress" {
  description = "Who reaches the service at all, before IAM asks who they are. The delivery asks a new revision from outside."
  type        = string
  default     = "INGRESS_TRAFFIC_ALL"

  validation {
    condition = contains(
      ["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.api_ingress
    )
    error_message = "api_ingress is INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
}

variable "api_invokers" {
  description = "Who may call the service, as IAM members: user:..., group:..., serviceAccount:..."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setintersection(var.api_invokers, ["allUsers", "allAuthenticatedUsers"])) == 0
    error_message = "api_invokers names people, groups and accounts, not everybody."
  }
}

variable "schedule_paused" {
  description = "Whether the scheduled runs stand still: two environments would share one Kite login, and its limits."
  type        = bool
  default     = false
}

variable "has_alert_webhook" {
  description = "Whether the secret alert-webhook-url exists, and the job posts its alerts there."
  type        = bool
  default     = false
}

variable "analysts_group" {
  description = "The address of the group that reads marts and quality; null for none."
  type        = string
  default     = null
}

variable "operators_group" {
  description = "The address of the group that logs in to Kite, reads everything, and starts runs; null for none."
  type        = string
  default     = null
}

variable "alert_emails" {
  description = "Where alerts go."
  type        = set(string)
  default     = []
}

variable "slack_channel" {
  description = "The Slack channel where alerts go as well, such as #trading-data; null for none."
  type        = string
  default     = null
}

variable "slack_auth_token" {
  description = "The OAuth token of the Slack channel, not a webhook. The provider keeps it in the state."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = (var.slack_channel == null) == (var.slack_auth_token == null)
    error_message = "slack_channel and slack_auth_token go together."
  }
}

variable "score_line" {
  description = "The quality score, of 100, below which somebody is told."
  type        = number
  default     = 95

  validation {
    condition     = var.score_line > 0 && var.score_line <= 100
    error_message = "score_line is above 0, and at most 100."
  }
}

variable "slow_run_seconds" {
  description = "How long a run may take before somebody is told; the job is stopped at 3600."
  type        = number
  default     = 1800

  validation {
    condition     = var.slow_run_seconds > 0 && var.slow_run_seconds < 3600
    error_message = "slow_run_seconds is above 0, and below the 3600 at which the job is stopped."
  }
}

variable "billing_account" {
  description = "The billing account of the budget; null for no budget."
  type        = string
  default     = null
}

variable "monthly_budget" {
  description = "What a month may cost, in units of budget_currency."
  type        = number
  default     = 5000

  validation {
    condition     = var.monthly_budget > 0 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "monthly_budget is a whole number above 0."
  }
}

variable "budget_currency" {
  description = "The currency of the billing account."
  type        = string
  default     = "INR"
}

variable "github_repository" {
  description = "ORG/REPO whose GitHub Actions may deploy, from the GitHub environment of the same name as this one; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.github_repository))
    error_message = "github_repository is ORG/REPO."
  }
}

variable "builds_images" {
  description = "Whether the release builds the image here, in the GitHub environment `build`, and the others read it."
  type        = bool
  default     = false
}

variable "image_readers" {
  description = "Who else reads the images, as IAM members: the Cloud Run service agents and deployers of the other environments."
  type        = set(string)
  default     = []
}

variable "subnet_range" {
  description = "The addresses of the job and the service; Cloud Run takes a /26 or larger."
  type        = string
  default     = "10.20.0.0/24"

  validation {
    condition     = can(cidrnetmask(var.subnet_range)) && try(tonumber(split("/", var.subnet_range)[1]) <= 26, false)
    error_message = "subnet_range is an IPv4 range of at least a /26."
  }
}
