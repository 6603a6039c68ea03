"""Plan the requests to the sources, send them, and land the answers."""
