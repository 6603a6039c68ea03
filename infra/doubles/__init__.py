"""Doubles of services that tests and exercises put between us and the cloud: servers on a free port of 127.0.0.1."""
