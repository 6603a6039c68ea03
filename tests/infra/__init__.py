"""Tests of what stands in for the cloud on one machine."""
