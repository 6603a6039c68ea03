"""What people are told: the state of the data, alerts, and how a command ended."""
