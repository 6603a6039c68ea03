"""What a person should know now: the rows of the view operations_alerts, logged, and sent to a webhook."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from extract.settings import Settings
from extract.warehouse.connection import Warehouse

_log = structlog.get_logger()

# From the one that wants somebody now.
SEVERITIES = ("CRITICAL", "ERROR", "WARNING", "INFO")

_SEND_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of operations_alerts, whose model describes each column."""

    alert_id: str
    severity: str
    subject: str
    text: str
    remedy: str | None


def read_alerts(warehouse: Warehouse) -> list[Alert]:
    """Read what is wrong, the worst first.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    base = f"{warehouse.client.project}.{warehouse.dataset}"
    rows = warehouse.query(f"select * from `{base}_operations.operations_alerts`")
    alerts = [Alert(**dict(row.items())) for row in rows]
    return sorted(alerts, key=lambda alert: (SEVERITIES.index(alert.severity), alert.alert_id, alert.subject))


def tell(alerts: Sequence[Alert], settings: Settings) -> None:
    """Log each alert, which Cloud Monitoring forwards; and send them to the webhook, where there is one.

    A webhook that fails is logged, and is no failure of the run.
    """
    # Where nobody reads the log any more, the webhook is told all the same.
    with suppress(OSError, ValueError):
        for alert in alerts:
            # Cloud Monitoring's filter looks for alert_id; see infra/terraform/monitoring.tf.
            level = logging.getLevelNamesMapping()[alert.severity]
            _log.log(level, alert.text, alert_id=alert.alert_id, subject=alert.subject, remedy=alert.remedy)
    urgent = [alert for alert in alerts if alert.severity != "INFO"]
    if not urgent or not settings.alert_webhook_url:
        return
    import httpx

    # The field that Slack, Mattermost and Google Chat read.
    body = {"text": "\n".join(message(alert) for alert in urgent)}
    try:
        httpx.post(settings.alert_webhook_url, json=body, timeout=_SEND_SECONDS).raise_for_status()
    except httpx.HTTPStatusError as error:
        _warn(status=error.response.status_code)
    except Exception as error:
        # Its text may quote the address, which is a secret.
        _warn(reason=type(error).__name__)


def _warn(**why: object) -> None:
    with suppress(OSError, ValueError):
        _log.warning("alerts not sent", **why)


def message(alert: Alert) -> str:
    """An alert as a line or two of text."""
    remedy = f"\n    {alert.remedy}" if alert.remedy else ""
    return f"{alert.severity}: {alert.text}{remedy}"
