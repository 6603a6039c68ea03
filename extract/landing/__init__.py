"""What arrived, kept as it came: the archive, the raw tables' columns, and the lease of the one who writes."""
