"""A file for each command of ``trading-data``, and what they share."""
