"""Reports for people: the state of the data, alerts, and how a command ended."""
