"""What a caller sends in order to start a run, and what the API answers about runs."""

from datetime import date
from typing import Annotated, Literal

from fastapi.openapi.models import Example
from pydantic import BaseModel, ConfigDict, Field, field_validator

from extract.api.days import Day
from extract.api.launch import State
from extract.api.orders import Provider
from extract.api.problems import Refusal
from extract.api.symbols import our_symbol
from extract.reporting.past_runs import Run
from extract.seeds import FIRST_DAY, listed_instruments

_SYMBOLS = [instrument.symbol for instrument in listed_instruments()]

# Defined outside the class, because there a field of the same name hides the type.
_Day = Annotated[
    Day | None,
    Field(
        description=f"A day since {FIRST_DAY}; if it has no session, the last one before it is meant, and the answer"
        " names that one. By default, the last session that has closed."
    ),
]


class Trigger(BaseModel):
    """What to fetch. All fields are optional; without any, the scheduled job runs."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[
        Literal["manual", "scheduled", "kite", "yahoo", "alpha_vantage"],
        Field(description="Who asks: manual, or scheduled. It is written to the log. A provider here means provider."),
    ] = "manual"
    provider: Annotated[
        Literal["kite", "yahoo", "alpha_vantage"] | None,
        # Not the type Provider, which OpenAPI would describe as a schema of its own.
        Field(description="The only provider to ask."),
    ] = None
    symbols: Annotated[
        list[Annotated[str, Field(json_schema_extra={"enum": _SYMBOLS})]] | None,
        Field(
            min_length=1,
            max_length=len(_SYMBOLS),
            json_schema_extra={"uniqueItems": True},
            description="The only symbols to ask for, in any case.",
        ),
    ] = None
    date: _Day = None

    @property
    def only_provider(self) -> Provider | None:
        """The only provider to ask, whichever of the two fields names it."""
        match self.source:
            case "manual" | "scheduled":
                return self.provider
            case named:
                return self.provider or named

    @field_validator("symbols")
    @classmethod
    def _are_listed(cls, symbols: list[str] | None) -> list[str] | None:
        if symbols is None:
            return None
        try:
            known = [our_symbol(symbol) for symbol in symbols]
        except Refusal as refusal:
            raise ValueError(refusal.detail) from refusal
        if len(set(known)) < len(known):
            raise ValueError("each symbol once")
        return known


EXAMPLES: dict[str, Example] = {
    "all": {"summary": "The scheduled job, now", "value": {"source": "manual"}},
    "some": {
        "summary": "Some symbols of one day",
        "value": {"source": "manual", "symbols": ["RELIANCE", "TCS"], "date": "2025-07-19"},
    },
    "one provider": {
        "summary": "One symbol of the latest session, from one provider",
        "value": {"source": "scheduled", "provider": "yahoo", "symbols": ["INFY"]},
    },
}


class Triggered(BaseModel):
    """A run that was started."""

    run_id: str
    trade_date: Annotated[date, Field(description="The session that it is for.")]


class RunStatus(BaseModel):
    """The state of a run, and the report that it wrote when it ended."""

    run_id: str
    state: Annotated[
        State,
        Field(
            description="`running`; or how it ended: `succeeded` (exit status 0), `incomplete` (3: done, but something"
            " is missing), `failed` (1), `refused` (2: a setting or an argument is wrong, and nothing was fetched),"
            " `interrupted` (130: stopped by a person or the system), `killed` (it ended without a word); or `unknown`"
            " (Cloud Run does not say whether it has begun, or no longer knows how it ended)."
        ),
    ]
    report: Annotated[Run | None, Field(description="Its row of operations_runs; null until it has ended.")]


class Runs(BaseModel):
    """Runs of the last ninety days, the latest first."""

    runs: list[RunStatus]
    next: Annotated[str | None, Field(description="Where the earlier ones are; null where there are none.")]
