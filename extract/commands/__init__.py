"""One module for each command of ``trading-data``, and the code that they share."""
