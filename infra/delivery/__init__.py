"""How a release reaches Cloud Run: the service by shares of its traffic, the job by a comparison of its marts."""
