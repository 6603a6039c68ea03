"""Tests of what is told to people and machines: the HTTP API, the dashboard, status and diagnose, alerts."""
