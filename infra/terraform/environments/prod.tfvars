environment = "prod"

monthly_budget = 5000
