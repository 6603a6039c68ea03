variable "project" {
  description = "The Google Cloud project; one per environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project is a project's id, such as example-trading-dev: fill it in in environments/."
  }
}

variable "region" {
  description = "Where everything is, and stays; the archive and the state may have a second region."
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
  description = "The image that jobs and service are created with, by digest; null until the first one is pushed. Later ones are the delivery's."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("^[^@\\s]+@sha256:[0-9a-f]{64}$", var.image))
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

variable "has_alpha_vantage" {
  description = "Whether the secret alpha-vantage-api-key exists: without it there is no third opinion."
  type        = bool
  default     = false
}

variable "auditors_group" {
  description = "The address of the group that reads the audit logs; null for none."
  type        = string
  default     = null
}

variable "alert_emails" {
  description = "Addresses that every alert and the budget go to; a group's address reaches many."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.alert_emails) <= 5
    error_message = "alert_emails has at most 5 addresses, as many as a budget takes: name a group's address."
  }
}

variable "alert_channels" {
  description = "Other channels of every alert, such as Slack, as they were made in the console: projects/.../notificationChannels/..."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for channel in var.alert_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "alert_channels are names such as projects/PROJECT/notificationChannels/123: see `gcloud beta monitoring channels list`."
  }
}

variable "paging_channels" {
  description = "Channels that wake somebody, such as PagerDuty, for alerts of severity ERROR and CRITICAL alone; named as alert_channels are."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for channel in var.paging_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "paging_channels are names such as projects/PROJECT/notificationChannels/123: see `gcloud beta monitoring channels list`."
  }
}

variable "slow_run_seconds" {
  description = "How long a run may take before somebody is told, in whole minutes."
  type        = number
  default     = 1800

  validation {
    condition     = var.slow_run_seconds >= 60 && var.slow_run_seconds % 60 == 0 && var.slow_run_seconds < var.job.timeout_seconds
    error_message = "slow_run_seconds is a multiple of 60, and below job.timeout_seconds, at which the job is stopped."
  }
}

variable "job" {
  description = "What a run gets. A replay and full build of 250 shares since 2010 was measured with 545 MiB."
  type = object({
    cpu             = optional(string, "2")
    memory          = optional(string, "2Gi")
    timeout_seconds = optional(number, 3600)
    max_retries     = optional(number, 2)
  })
  default = {}
}

variable "service" {
  description = "What the API gets. Each instance counts for itself how many runs it has started within the hour."
  type = object({
    min_instances   = optional(number, 0)
    max_instances   = optional(number, 1)
    cpu             = optional(string, "1")
    memory          = optional(string, "512Mi")
    timeout_seconds = optional(number, 60)
    concurrency     = optional(number, 20)
  })
  default = {}

  validation {
    condition     = var.service.min_instances >= 0 && var.service.min_instances <= var.service.max_instances && var.service.max_instances >= 1
    error_message = "service has 0 <= min_instances <= max_instances, and max_instances >= 1."
  }
}

variable "retention_days" {
  description = "For how long nothing in the archive and in the audit log can be deleted. In prod it is locked: it can be made longer, and never shorter."
  type        = number
  default     = 2555

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 3650
    error_message = "retention_days is 1 to 3650, the longest that a log bucket keeps."
  }
}

variable "archive_location" {
  description = "Where the archive is. Nobody can change it after the first apply. IN with archive_regions is a dual region in India; a region's name, with archive_regions empty, is one region."
  type        = string
  default     = "IN"
}

variable "archive_regions" {
  description = "The two regions of the archive's dual region, in capitals as the API gives them back; empty for one region."
  type        = list(string)
  default     = ["ASIA-SOUTH1", "ASIA-SOUTH2"]

  validation {
    condition     = contains([0, 2], length(var.archive_regions)) && alltrue([for region in var.archive_regions : region == upper(region)])
    error_message = "archive_regions is two regions in capitals, or none."
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
  description = "ORG/REPO whose GitHub Actions may deploy, from its branch main and the GitHub environment of the same name as this one; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.github_repository))
    error_message = "github_repository is ORG/REPO."
  }
}

variable "github_owner_id" {
  description = "The number of ORG at GitHub (`gh api orgs/ORG --jq .id`): a name that is given up can be registered by somebody else."
  type        = string
  default     = null

  validation {
    condition     = (var.github_repository == null) == (var.github_owner_id == null)
    error_message = "github_repository and github_owner_id go together."
  }
}

variable "builds_images" {
  description = "Whether the release builds the image here, in the GitHub environment `build`, and the others read it."
  type        = bool
  default     = false
}

variable "image_reader_projects" {
  description = "The other environments' projects, which take their images from here: id = number."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for number in values(var.image_reader_projects) : can(regex("^[0-9]+$", number))])
    error_message = "image_reader_projects maps a project's id to its number: `gcloud projects describe ID --format='value(projectNumber)'`."
  }
}

variable "subnet_range" {
  description = "The addresses of the job; Cloud Run takes a /26 or larger."
  type        = string
  default     = "10.20.0.0/24"

  validation {
    condition     = can(cidrnetmask(var.subnet_range)) && try(tonumber(split("/", var.subnet_range)[1]) <= 26, false)
    error_message = "subnet_range is an IPv4 range of at least a /26."
  }
}
