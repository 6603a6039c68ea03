"""Replacements for the cloud on a laptop or a CI machine."""
