"""Tests of what production runs."""
