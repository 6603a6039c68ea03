"""The documentation as the real command writes and serves it."""

import json
from html.parser import HTMLParser
from typing import Any

from tests.conftest import Pipeline
from tests.reports.conftest import serving

BARS = "model.trading_data.fct_daily_bars"


class _Loaded(HTMLParser):
    """What a page loads as it opens."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.addresses += [value for name, value in attrs if name in ("src", "href") and value]


def _artifact(page: str, name: str) -> Any:
    """One of dbt's artifacts that the page holds."""
    begin = page.index(f'{{"metadata": {{"dbt_schema_version": "https://schemas.getdbt.com/dbt/{name}/')
    return json.JSONDecoder().raw_decode(page, begin)[0]


def test_the_page_shows_lineage_and_columns_and_needs_no_other_host(built_pipeline: Pipeline) -> None:
    with serving(built_pipeline, "docs") as client:
        answer = client.get("/")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
        assert client.get("/manifest.json").status_code == 404
    manifest, catalog = _artifact(answer.text, "manifest"), _artifact(answer.text, "catalog")
    assert "model.trading_data.int_bars__chosen" in manifest["parent_map"][BARS]
    assert "model.trading_data.daily_bars" in manifest["child_map"][BARS]
    assert "rupees" in manifest["nodes"][BARS]["columns"]["close"]["description"]
    assert catalog["nodes"][BARS]["columns"]["close"]["type"] == "NUMERIC"
    assert [address for address in _Loaded(answer.text).addresses if "//" in address] == []
    # Where it is true, the page loads a script that tells dbt Labs what is looked at.
    assert manifest["metadata"]["send_anonymous_usage_stats"] is False


def test_where_nothing_was_built_it_says_what_to_type(pipeline: Pipeline) -> None:
    done = pipeline.command("docs")
    assert (done.returncode, "run `trading-data run`" in done.stderr) == (1, True)
