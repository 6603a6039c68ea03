"""What others load, merge and fetch daily bars with, each in an environment of its own: ``make bench`` compares."""
