"""Somebody without a Kite subscription, and with three symbols: nothing that they do not have is expected of them."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from extract.seeds import EXCHANGE_ZONE
from infra.doubles import loopback
from tests.conftest import Pipeline
from tests.reports.conftest import Webhook


def test_yahoo_alone_serves_the_symbols_that_are_expected(pipeline: Pipeline, market: Mapping[str, str]) -> None:
    settings = {name: value for name, value in market.items() if not name.startswith("KITE_")}
    settings |= {"SYMBOLS": "tcs, infy;ITC.NS", "KITE_API_KEY": "", "KITE_API_SECRET": "", "KITE_ACCESS_TOKEN": ""}
    first = (datetime.now(EXCHANGE_ZONE).date() - timedelta(days=40)).isoformat()

    planned = pipeline.command("run", "--dry-run", "--json", environment=settings)
    assert {row["source"] for row in json.loads(planned.stdout)["plan"]} == {"yahoo"}

    filled = pipeline.command("backfill", "--from", first, "--json", environment=settings)
    report = json.loads(filled.stdout)
    assert (filled.returncode, report["shortfalls"], report["not_configured"]) == (0, [], ["kite"])
    assert report["outcomes"] == {"yahoo": {"ok": 3}}

    with loopback.serving(Webhook()) as webhook:
        settings |= {"ALERT_WEBHOOK_URL": webhook.url}
        # Each attempt of the scheduled job fails, until a person has mended the lease.
        torn = pipeline.archive_dir / "leases" / "000000" / "000000999.json"
        torn.write_text("torn")
        for _ in range(3):
            assert pipeline.command("run", environment=settings | {"CLOUD_RUN_EXECUTION": "job-1"}).returncode == 1
        torn.unlink()
        ran = pipeline.command("run", environment=settings)
    assert ran.returncode == 0, ran.stderr[-2000:]
    failed, good = [body["text"].splitlines() for body in webhook.bodies]
    assert failed[1].startswith("ERROR: The last run failed (run-")
    assert [line for line in good if line.startswith("RESOLVED")] == [failed[1].replace("ERROR", "RESOLVED")]
    quick = pipeline.command("run", "--mode", "quotes", "--json", environment=settings)
    assert (quick.returncode, json.loads(quick.stdout)["shortfalls"]) == (0, [])

    told = pipeline.command("status", "--json", environment=settings)
    status = json.loads(told.stdout)
    assert (status["instrument_count"], status["latest_valid_record_count"], status["unserved_symbols"]) == (3, 3, [])
    # What Kite would have sent is not held against what Yahoo did.
    assert status["latest_quality_score"] > 99.5
    assert not [
        alert for alert in status["alerts"] if alert["alert_id"] in ("source_down", "low_score", "stale_source")
    ]

    asked = pipeline.command("extract", "--source", "kite", environment=settings)
    assert (asked.returncode, "Kite is not configured: set KITE_API_KEY" in asked.stderr) == (2, True)
    half = pipeline.command("status", environment=settings | {"KITE_ACCESS_TOKEN": "t"})
    assert (half.returncode, "KITE_API_KEY is not" in half.stderr) == (2, True)
