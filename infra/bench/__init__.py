"""Other tools that load, merge and fetch daily bars, each in its own environment; ``make bench`` compares with them."""
