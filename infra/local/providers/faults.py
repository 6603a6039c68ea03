"""The limits of the providers, and the ways in which they fail."""

from dataclasses import dataclass

# The kinds of faults; the module of each provider, and the server, show what each does.
FAULTS = (
    "latency",
    "rate_limit",
    "error_500",
    "error_502_page",
    "cut_json",
    "null_fields",
    "closed_connection",
    "empty",
    "dead_token",
    "no_plan",
    "not_enabled",
    "address_refused",
    "blocked",
    "day_to_come",
    "repeated_day",
    "other_symbol",
    "unknown_token",
    "missing_symbol",
    "stale_last_bar",
    "repeated_last_bar",
    "restated_history",
    "null_last_row",
    "other_zone",
    "burst",
    "daily_limit",
    "bad_key",
    "premium",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a provider.

    Attributes:
        source: ``kite``, ``yahoo`` or ``alpha_vantage``.
        kind: one of ``FAULTS``.
        share: the share of the matching requests that fail, at random.
        symbols: only requests for these symbols fail; empty for all.
        after: the number of requests to the source that pass before the first fault.
        times: the maximum number of faults; None for no limit.
        seconds: of latency, or of ``Retry-After``.
    """

    source: str
    kind: str
    share: float = 1.0
    symbols: tuple[str, ...] = ()
    after: int = 0
    times: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that would silently have no effect."""
        if self.kind not in FAULTS or self.source not in ("kite", "yahoo", "alpha_vantage"):
            raise ValueError(f"there is no fault {self.source}/{self.kind}")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the providers, in requests a second and a day; the defaults are documented or usual."""

    kite_candles: float = 3
    kite_quotes: float = 1
    kite_others: float = 10
    yahoo: float = 2
    alpha_vantage: float = 1
    alpha_vantage_a_day: int = 25
