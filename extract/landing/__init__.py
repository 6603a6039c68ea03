"""Received data, kept as it came: the archive, the columns of the raw tables, and the lease of the one writer."""
