"""What may be kept for seven years, because nobody can erase it then: market data, and nothing of a person."""

import re

import pytest
import yaml  # type: ignore[import-untyped]

from extract.landing.raw import RAW_TABLES
from extract.settings import PROJECT_DIR

# Words of which one in a column's name means a person.
PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|mobile|address|birth\w*|gender|aadhaar|pan|passport|user|users|username|customer|client|person|"
    r"employee|surname|firstname|lastname|ip|latitude|longitude|account|holder|nominee|password|token_secret)(_|$)"
)


def columns() -> dict[str, list[str]]:
    found = {name: table.schema.names for name, table in RAW_TABLES.items()}
    for path in sorted((PROJECT_DIR / "models").rglob("*.yml")):
        for model in yaml.safe_load(path.read_text()).get("models", ()):
            found[model["name"]] = [column["name"] for column in model.get("columns", ())]
    return found


def test_no_column_holds_personal_data() -> None:
    named = columns()
    assert len(named) > 40
    assert len(named["fct_daily_bars"]) > 10
    assert {
        t: [c for c in names if PERSONAL.search(c)] for t, names in named.items() if any(map(PERSONAL.search, names))
    } == {}


@pytest.mark.parametrize("column", ["email", "customer_id", "client_ip", "date_of_birth", "pan_number", "user_name"])
def test_a_column_of_a_person_would_be_seen(column: str) -> None:
    assert PERSONAL.search(column)
