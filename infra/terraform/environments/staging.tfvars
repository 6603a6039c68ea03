environment = "staging"

# Runs are started by hand; the day's one Kite login is prod's.
schedule_paused = true
monthly_budget  = 2000
