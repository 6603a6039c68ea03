"""Simulated providers: a server that speaks the wire formats of Kite Connect, Yahoo Finance and Alpha Vantage.

It serves the simulated market of ``infra.local.market``, enforces the limits that the real providers document, and on
request fails in the ways in which they have been seen to fail. Its prices cannot be taken for real ones: every series
starts at 100.00.

    python -m infra.local.providers --first 2021-01-01

prints the settings that point ``trading-data`` at it, and serves until Ctrl-C. ``PUT /simulation`` sets its faults, its
clock and its limits.
"""

from infra.local.providers.faults import FAULTS, Fault, Limits
from infra.local.providers.server import environment, serving
from infra.local.providers.state import ACCESS_TOKEN, API_KEY, API_SECRET, Providers

__all__ = [
    "ACCESS_TOKEN",
    "API_KEY",
    "API_SECRET",
    "FAULTS",
    "Fault",
    "Limits",
    "Providers",
    "environment",
    "serving",
]
