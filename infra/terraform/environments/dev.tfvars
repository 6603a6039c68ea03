# The project is yours: -var project=... The image is what was built: -var image=NAME@sha256:...
environment = "dev"

# The release builds the image once, here; image_readers are the service agents and deployers of staging and prod.
builds_images = true

# Runs are started by hand; the day's one Kite login is prod's.
schedule_paused = true
monthly_budget  = 1000
