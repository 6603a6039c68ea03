"""Tests of the hand-kept facts."""
