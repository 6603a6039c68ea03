"""Alerts: the rows of the view operations_alerts, the verdict over them, the log and the webhook."""

import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import structlog

from extract.seeds import EXCHANGE_ZONE
from extract.settings import Settings
from extract.warehouse.connection import Row, Warehouse
from extract.warehouse.notes import alerts_sent, note_alerts

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
    # The view's words name the command; the id of a run may be one that a person gave it.
    return alert.alert_id == "run_failed" and (command == "run" or not alert.text.startswith("The last run "))


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


def send(
    alerts: Sequence[Alert],
    settings: Settings,
    run_id: str,
    now: datetime,
    warehouse: Warehouse | None,
    headline: str | None = None,
) -> None:
    """Send alerts to the webhook, if there is one: those that are new, worse or gone, and once a day those that stand.

    If the webhook fails, that is logged and does not fail the run; the next run sends the same alerts.

    Args:
        alerts: the alerts of now.
        settings: with the address.
        run_id: of the run that found them.
        now: a time with zone.
        warehouse: has the alerts that were sent; None if it cannot be queried: then all are sent.
        headline: the verdict on the data, if it is known.

    Raises:
        PipelineError: the warehouse failed.
    """
    if not settings.alert_webhook_url:
        return
    urgent = {_key(alert.alert_id, alert.subject): alert for alert in alerts if alert.severity != "INFO"}
    sent: dict[tuple[str, str], Row] = {}
    if warehouse:
        sent = {_key(row["alert_id"], row["subject"]): row for row in reversed(alerts_sent(warehouse))}
    told = []
    for key, alert in urgent.items():
        before = sent.get(key)
        if before is None or _is_worse(alert, before) or before["recorded_at"] <= now - _REPEATED_AFTER:
            told.append(alert)
    gone = [row for key, row in sent.items() if key not in urgent]
    if not told and not gone:
        return
    lines = [f"{settings.place}, run {run_id}, {now.astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M} IST"]
    lines += [headline] if headline else []
    lines += [message(alert) for alert in told]
    lines += [f"RESOLVED: {row['text']}" for row in gone]
    if _post(settings.alert_webhook_url, "\n".join(lines)) and warehouse:
        columns = ("alert_id", "subject", "severity", "symbol_count", "text")
        events = [(*(getattr(alert, name) for name in columns), "raised") for alert in told]
        events += [(*(row[name] for name in columns), "gone") for row in gone]
        note_alerts(warehouse, events, now)


def _is_worse(alert: Alert, before: Row) -> bool:
    """Whether an alert is more severe than when it was sent, or is about at least twice as many symbols."""
    if alert.severity != before["severity"]:
        return SEVERITIES.index(alert.severity) < SEVERITIES.index(before["severity"])
    return bool(before["symbol_count"]) and (alert.symbol_count or 0) >= 2 * before["symbol_count"]


def _key(alert_id: str, subject: str) -> tuple[str, str]:
    """The identity of an alert. A date as subject does not count: the alert of a later session is the same alert."""
    return alert_id, "" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", subject) else subject


def _post(url: str, text: str) -> bool:
    import httpx

    try:
        # Slack, Mattermost and Google Chat read this field.
        httpx.post(url, json={"text": text}, timeout=_SEND_SECONDS).raise_for_status()
    except httpx.HTTPStatusError as error:
        _warn(status=error.response.status_code)
    except Exception as error:
        # The error's text may quote the address, which is secret.
        _warn(reason=type(error).__name__)
    else:
        return True
    return False


def _warn(**why: object) -> None:
    with suppress(OSError, ValueError):
        _log.warning("alerts not sent", **why)


def message(alert: Alert) -> str:
    """An alert as a line or two of text."""
    remedy = f"\n    {alert.remedy}" if alert.remedy else ""
    return f"{alert.severity}: {alert.text}{remedy}"
