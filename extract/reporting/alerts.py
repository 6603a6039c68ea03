"""Alerts: the rows of the view operations_alerts, the verdict over them, the log and the webhook."""

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Literal

import structlog

from extract.errors import ConfigurationError, PipelineError
from extract.landing.archive import Archive
from extract.seeds import EXCHANGE_ZONE
from extract.settings import Settings
from extract.warehouse.connection import Warehouse

_log = structlog.get_logger()

# From the most urgent to the least.
SEVERITIES = ("CRITICAL", "ERROR", "WARNING", "INFO")

_SEND_SECONDS = 10.0

# An alert that still stands is sent again after this time: once a day, by the evening's run and not by the morning's.
_REPEATED_AFTER = timedelta(hours=20)


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of operations_alerts, whose model describes each column."""

    alert_id: str
    severity: str
    subject: str
    symbol_count: int | None
    text: str
    remedy: str | None


type State = Literal["ok", "incomplete", "wrong"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the data can be used now; the row of operations_verdict, whose model says what each state means.

    Attributes:
        state: ``ok``, ``incomplete`` or ``wrong``.
        alerts: all alerts, the most urgent first.
    """

    state: State
    alerts: list[Alert]

    @property
    def reasons(self) -> list[Alert]:
        """The alerts that count against the data: all except those of severity INFO."""
        return [alert for alert in self.alerts if alert.severity != "INFO"]

    def beside(self, warnings: Iterable[Alert]) -> "Verdict":
        """The verdict with further alerts that the warehouse cannot know; each of them is a WARNING."""
        place = sum(alert.severity in ("CRITICAL", "ERROR") for alert in self.alerts)
        return _judged([*self.alerts[:place], *warnings, *self.alerts[place:]])

    def after(self, command: str) -> "Verdict":
        """The verdict after a command that ended well and that the view does not know yet.

        An alert about an earlier failure is over then; that about a run is over after a run, as in operations_alerts.
        """
        return _judged([alert for alert in self.alerts if not _is_over(alert, command)])


def _is_over(alert: Alert, command: str) -> bool:
    return alert.alert_id == "run_failed" and (command == "run" or alert.subject != "run")


def _judged(alerts: list[Alert]) -> Verdict:
    """The verdict over alerts, the most urgent first; computed as in operations_verdict."""
    worst = alerts[0].severity if alerts else "INFO"
    states: dict[str, State] = {"CRITICAL": "wrong", "ERROR": "wrong", "WARNING": "incomplete", "INFO": "ok"}
    return Verdict(states[worst], alerts)


def read_verdict(warehouse: Warehouse) -> Verdict:
    """Read the verdict of the view operations_verdict.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    base = f"{warehouse.client.project}.{warehouse.dataset}"
    (row,) = warehouse.query(f"select verdict, reasons from `{base}_operations.operations_verdict`")
    return Verdict(row["verdict"], [Alert(**reason) for reason in row["reasons"] or []])


def log(alerts: Sequence[Alert]) -> None:
    """Log each alert, which Cloud Monitoring forwards."""
    # If standard error is closed, do not fail: the alerts must still be sent to the webhook.
    with suppress(OSError, ValueError):
        for alert in alerts:
            # Cloud Monitoring's filter looks for alert_id; see infra/terraform/monitoring.tf.
            level = logging.getLevelNamesMapping()[alert.severity]
            _log.log(level, alert.text, alert_id=alert.alert_id, subject=alert.subject, remedy=alert.remedy)


@dataclass(frozen=True, slots=True)
class _Sent:
    """An alert that the webhook took, and that has not gone since; ``sent_at`` is when it was last sent."""

    alert: Alert
    sent_at: datetime


class _Standing:
    """The alerts that the webhook took and that have not gone since, of one warehouse.

    They are kept beside the lease, which every command that may raise an alert can reach; the warehouse may be down. An
    object has all of them; objects are numbered, created once and never changed, and the last one counts.
    """

    def __init__(self, settings: Settings) -> None:
        """Read the last object. If it cannot be read, no alert counts as sent: better to send one twice than never.

        Args:
            settings: with the store; several warehouses may share one.
        """
        self._folder = f"alerts/{re.sub(r'[^A-Za-z0-9.-]+', '_', settings.place).strip('_')}"
        self._uri = settings.lease_uri
        self._number = 0
        self.sent: dict[tuple[str, str], _Sent] = {}
        try:
            store = Archive(self._uri, setting="LEASE_URI")
            objects = store.listed(prefix=f"{self._folder}/")
            # A person may have put another file there.
            if last := max((path for path in objects if PurePosixPath(path).stem.isdecimal()), default=None):
                self._number = int(PurePosixPath(last).stem)
                rows = json.loads(store.body(last))
                sent = [_Sent(Alert(**row["alert"]), datetime.fromisoformat(row["sent_at"])) for row in rows]
                self.sent = {_key(was.alert): was for was in sent}
        except (ConfigurationError, PipelineError, ValueError, TypeError, KeyError) as error:
            _warn("alerts may be sent again", reason=str(error))

    def keep(self, told: Mapping[tuple[str, str], Alert], gone: Sequence[tuple[str, str]], now: datetime) -> None:
        """Write the next object, after these alerts were sent and those have gone."""
        left = {key: was for key, was in self.sent.items() if key not in gone}
        left |= {key: _Sent(alert, now) for key, alert in told.items()}
        rows = [{"alert": asdict(was.alert), "sent_at": was.sent_at.isoformat()} for was in left.values()]
        try:
            path = f"{self._folder}/{self._number + 1:09}.json"
            is_kept = Archive(self._uri, setting="LEASE_URI").create(path, json.dumps(rows).encode())
            reason = None if is_kept else "another command has sent alerts at the same time"
        except (ConfigurationError, PipelineError) as error:
            reason = str(error)
        if reason:
            _warn("alerts may be sent again", reason=reason)


def send(alerts: Sequence[Alert], settings: Settings, run_id: str, now: datetime, headline: str | None = None) -> None:
    """Send alerts to the webhook, if there is one: those that are new, worse or gone, and once a day those that stand.

    If the webhook fails, that is logged and does not fail the run; the next run sends the same alerts.

    Args:
        alerts: all alerts of now.
        settings: with the address, and the store in which the alerts that were sent are kept.
        run_id: of the run that found them.
        now: a time with zone.
        headline: the verdict on the data, if it is known.
    """
    _send(alerts, settings, run_id, now, headline, is_all=True)


def send_failure(failed: Alert, settings: Settings, run_id: str, now: datetime) -> None:
    """Send the alert of a command that failed, and knows of no other; the arguments are those of ``send``.

    It needs no warehouse, which may be why the command failed. The next attempt does not send it again.
    """
    _send([failed], settings, run_id, now, None, is_all=False)


def _send(
    alerts: Sequence[Alert], settings: Settings, run_id: str, now: datetime, headline: str | None, *, is_all: bool
) -> None:
    if not settings.alert_webhook_url:
        return
    standing = _Standing(settings)
    urgent = {_key(alert): alert for alert in alerts if alert.severity != "INFO"}
    told = {key: alert for key, alert in urgent.items() if _is_due(alert, standing.sent.get(key), now)}
    gone = [key for key in standing.sent if key not in urgent] if is_all else []
    if not told and not gone:
        return
    lines = [f"{settings.place}, run {run_id}, {now.astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M} IST"]
    lines += [headline] if headline else []
    lines += [message(alert) for alert in told.values()]
    lines += [f"RESOLVED: {standing.sent[key].alert.text}" for key in gone]
    if _post(settings.alert_webhook_url, "\n".join(lines)):
        standing.keep(told, gone, now)


def _is_due(alert: Alert, before: _Sent | None, now: datetime) -> bool:
    return before is None or _is_worse(alert, before.alert) or before.sent_at <= now - _REPEATED_AFTER


def _is_worse(alert: Alert, before: Alert) -> bool:
    """Whether an alert is more severe than when it was sent, or is about at least twice as many symbols."""
    if alert.severity != before.severity:
        return SEVERITIES.index(alert.severity) < SEVERITIES.index(before.severity)
    return bool(before.symbol_count) and (alert.symbol_count or 0) >= 2 * (before.symbol_count or 0)


def _key(alert: Alert) -> tuple[str, str]:
    """The identity of an alert. A date as subject does not count: the alert of a later session is the same alert."""
    return alert.alert_id, "" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", alert.subject) else alert.subject


def _post(url: str, text: str) -> bool:
    import httpx

    try:
        # Slack, Mattermost and Google Chat read this field.
        httpx.post(url, json={"text": text}, timeout=_SEND_SECONDS).raise_for_status()
    except httpx.HTTPStatusError as error:
        _warn("alerts not sent", status=error.response.status_code)
    except Exception as error:
        # The error's text may quote the address, which is secret.
        _warn("alerts not sent", reason=type(error).__name__)
    else:
        return True
    return False


def message(alert: Alert) -> str:
    """An alert as a line or two of text."""
    remedy = f"\n    {alert.remedy}" if alert.remedy else ""
    return f"{alert.severity}: {alert.text}{remedy}"


def _warn(event: str, **why: object) -> None:
    with suppress(OSError, ValueError):
        _log.warning(event, **why)
