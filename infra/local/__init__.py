"""What a laptop or a CI machine needs in place of the cloud."""
