# Everything that is set here stays set: nothing comes from the command line, so that no apply takes away what another
# gave. None of it is secret. Fill in what is in capitals, and commit this file.
environment = "prod"
project     = "PROJECT"

# Jobs and service are created with it, once it is pushed: NAME@sha256:DIGEST. Later images are the delivery's.
image = null

# Dev builds the image, and lets this project read it.
builds_images         = false
image_reader_projects = {}

schedule_paused = false

# One instance is kept warm, with a processor only while it serves.
service = { min_instances = 1 }

# Neither can be changed after the first apply, and the first can never be made shorter: "Decide before prod's first apply".
retention_days   = 2555
archive_location = "IN"
archive_regions  = ["ASIA-SOUTH1", "ASIA-SOUTH2"]

# Whether these secrets exist: a key of Alpha Vantage, and the address of a webhook that alerts are posted to.
has_alpha_vantage = false
has_alert_webhook = false

# Groups' addresses, or null: who reads marts, who runs it all, who reads the audit logs; and who may call the API.
analysts_group  = null
operators_group = null
auditors_group  = null
api_invokers    = []

# Where alerts go, five addresses at most; channels that were made in the console (Slack); and those that wake somebody.
alert_emails    = []
alert_channels  = []
paging_channels = []

# ORG/REPO whose workflows deliver here, and the number of ORG: `gh api orgs/ORG --jq .id`. Both, or neither.
github_repository = null
github_owner_id   = null

# The billing account of the budget, or null; what a month may cost, and in which currency the account is kept.
billing_account = null
monthly_budget  = 5000
budget_currency = "INR"
