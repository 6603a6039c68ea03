"""What a caller of the API orders for the cloud: an object that says what to fetch, which the triggered job takes.

So the API's account needs no right to give a job arguments or variables, with which it could run any command, and have
Kite's keys sent to any server.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from extract.errors import PipelineError, UsageError
from extract.landing.archive import Archive
from extract.run_id import RUN_ID, new_run_id, time_of
from extract.seeds import FIRST_DAY, Announcements, last_closed_session, listed_instruments

# An execution starts within a minute. An order that nobody took belongs to an execution that did not start, and a later
# one must not fetch what somebody asked for hours ago.
_WAITS = timedelta(minutes=15)

# Longer than all attempts of an execution take together.
_REMEMBERED = timedelta(hours=6)


type Provider = Literal["kite", "yahoo", "alpha_vantage"]


# Stands for the execution of an order that Cloud Run did not start.
NOT_STARTED = "not started"


class Order(BaseModel):
    """A run to start. It is checked where it is read, too: whoever can write an order can ask for nothing else.

    Attributes:
        command: ``run``, the scheduled job; or ``backfill``, one day anew.
        run_id: identifies the run; it begins with the command, then the time of the order.
        trade_date: the session that it is for.
        provider: the only provider to ask; None for all.
        symbols: the only symbols to ask for; None for all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: Literal["run", "backfill"]
    run_id: Annotated[str, Field(pattern=f"^{RUN_ID}$")]
    trade_date: Annotated[date, Field(ge=FIRST_DAY)]
    provider: Provider | None = None
    symbols: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _can_be_run(self) -> "Order":
        if time_of(self.run_id) is None or not self.run_id.startswith(f"{self.command}-"):
            raise ValueError(f"{self.run_id} is not the id of a {self.command}")
        if self.command == "run" and self.provider:
            raise ValueError("a run asks all providers")
        unknown = set(self.symbols or ()) - {instrument.symbol for instrument in listed_instruments()}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} is not among the symbols")
        return self

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command line of ``trading-data``."""
        day = self.trade_date.isoformat()
        about = ["--again", "--from", day, "--to", day] if self.command == "backfill" else []
        about += ["--source", self.provider] if self.provider else []
        about += ["--symbols", ",".join(self.symbols)] if self.symbols else []
        return (self.command, "--run-id", self.run_id, *about)


def new_order(
    now: datetime,
    provider: Provider | None,
    symbols: Sequence[str] | None,
    trade_date: date | None,
    announced: Announcements | None = None,
) -> Order:
    """What a trigger orders: the scheduled job, or a backfill of one day.

    It is a backfill if the trigger names a provider, or a day other than the last closed session's.

    Args:
        now: a time with zone.
        provider: the only provider to ask; None for all.
        symbols: the only symbols to ask for; None for all.
        trade_date: the session; None for the last one that has closed.
        announced: the sessions that were announced in addition to the seeds.
    """
    due = last_closed_session(now, announced or Announcements())
    command: Literal["run", "backfill"] = "run" if provider is None and trade_date in (None, due) else "backfill"
    return Order(
        command=command,
        run_id=new_run_id(command, now),
        trade_date=trade_date or due,
        provider=provider,
        symbols=tuple(symbols) if symbols else None,
    )


class Orders:
    """Orders in a folder or a bucket, each written once and taken once.

    ``ordered/<run id>.json`` is an order; ``taken/<run id>.json`` has the name of the execution that took it, or says
    that none was started. The store lets only one process create the latter.
    """

    def __init__(self, uri: str) -> None:
        """Open the store at ``uri``: a folder, or ``gs://bucket/prefix``.

        Raises:
            ConfigurationError: it cannot be opened.
        """
        self._store = Archive(uri, setting="ORDERS_URI")

    def add(self, order: Order) -> None:
        """Write an order, before an execution that takes it is started.

        Raises:
            PipelineError: it cannot be written.
        """
        body = order.model_dump_json().encode()
        path = f"ordered/{order.run_id}.json"
        # An order that exists may be ours: the store's client tries again if the answer to its first try is lost.
        if not self._store.create(path, body) and self._store.body(path) != body:
            raise PipelineError(f"there is another order {order.run_id} already")

    def give_up(self, order: Order) -> None:
        """Let no execution take an order, because the one for it could not be started.

        Raises:
            PipelineError: it cannot be written.
        """
        self._store.create(_taken(order.run_id), NOT_STARTED.encode())

    def take(self, execution: str, now: datetime) -> Order:
        """The order of an execution: the one that it took in an earlier attempt, else the newest that nobody took.

        The newest, because an older one may be of an execution that could not be started.

        Raises:
            UsageError: no order waits.
            PipelineError: the orders cannot be read or taken.
        """
        ours = self.of(execution, now)
        if ours is not None:
            return ours
        for order in self.waiting(now):
            # As above, it may be ours although the store says that it exists.
            if self._store.create(_taken(order.run_id), execution.encode()) or self._taker(order.run_id) == execution:
                return order
        raise UsageError(
            "no order waits: the API writes one, and starts this job. To start a run yourself, use the job trading-data"
        )

    def of(self, execution: str, now: datetime) -> Order | None:
        """The order that an execution took in the last hours; None if there is none.

        Raises:
            PipelineError: the orders cannot be read.
        """
        for run_id in self._since("taken", now - _REMEMBERED):
            if self._taker(run_id) == execution:
                return self._order(run_id)
        return None

    def taken_by(self, run_id: str) -> str | None:
        """The name of the execution that took an order, or NOT_STARTED; None if nobody has taken it.

        Raises:
            PipelineError: the orders cannot be read.
        """
        return self._taker(run_id) if _taken(run_id) in self._store.listed("taken/") else None

    def _taker(self, run_id: str) -> str:
        return self._store.body(_taken(run_id)).decode()

    def waiting(self, now: datetime) -> list[Order]:
        """The orders that were written a short while ago and that nobody has taken, the newest first.

        Raises:
            PipelineError: the orders cannot be read.
        """
        taken = self._since("taken", now - _WAITS)
        return [self._order(run_id) for run_id in self._since("ordered", now - _WAITS) if run_id not in taken]

    def _since(self, folder: str, oldest: datetime) -> list[str]:
        """The runs that were ordered since a time, the newest first."""
        times = {}
        for path in self._store.listed(f"{folder}/"):
            run_id = PurePosixPath(path).stem
            at = time_of(run_id)
            if at is not None and at >= oldest:
                times[run_id] = at
        return sorted(times, key=lambda run_id: (times[run_id], run_id), reverse=True)

    def _order(self, run_id: str) -> Order:
        try:
            order = Order.model_validate_json(self._store.body(f"ordered/{run_id}.json"))
        except ValidationError as error:
            raise PipelineError(f"the order {run_id} cannot be read: {error.errors()[0]['msg']}") from error
        if order.run_id != run_id:
            raise PipelineError(f"the order {run_id} is about another run, {order.run_id}")
        return order


def _taken(run_id: str) -> str:
    return f"taken/{run_id}.json"
