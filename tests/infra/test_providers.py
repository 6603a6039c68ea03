"""The simulated providers speak the real ones' formats, as far as samples of those are at hand, and keep limits."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import httpx
import pytest

from extract.seeds import EXCHANGE_ZONE
from extract.settings import PROJECT_DIR
from infra.local.market import draft_market
from infra.local.providers import ACCESS_TOKEN, API_KEY, Fault, Limits, Providers, serving

SAMPLES = PROJECT_DIR.parent / "shared" / "samples"
NOW = datetime(2024, 12, 31, 18, 30, tzinfo=EXCHANGE_ZONE)
HEADERS = {"Authorization": f"token {API_KEY}:{ACCESS_TOKEN}", "X-Kite-Version": "3"}
TOKEN = 256 * 7 + 1
CANDLES = "/instruments/historical/{}/day?from=2024-12-01+00:00:00&to={}+23:59:59"
CHART = "/v8/finance/chart/ACC.NS?period1={}&period2=1735700000&interval=1d"
QUERY = "/query?function=TIME_SERIES_DAILY&symbol=ACC.BSE&outputsize=compact&apikey=key"


@pytest.fixture
def simulated() -> Iterator[tuple[Providers, httpx.Client]]:
    market = draft_market(first=date(2024, 6, 3), last=date(2024, 12, 31), symbols=["ABB", "ACC"])
    market.act(1, 140, dividend=7.5)
    market.act(1, 141, split_ratio=2.0)
    providers = Providers(market, clock=lambda: NOW)
    with serving(providers) as address, httpx.Client(base_url=address, headers=HEADERS) as client:
        yield providers, client


def differences(sample: Any, simulated: Any, place: str = "") -> list[str]:
    """Where the simulated document has a field that the sample lacks, or of another type; numbers are one type."""
    if sample is None or simulated is None:
        return []
    if isinstance(sample, int | float) and isinstance(simulated, int | float):
        return []
    if type(sample) is not type(simulated):
        return [f"{place} is {type(simulated).__name__} instead of {type(sample).__name__}"]
    if isinstance(sample, list):
        pairs = zip(sample[:1], simulated[:1], strict=False)
        # The fields of a candle have different types.
        pairs = zip(sample, simulated, strict=False) if len(sample) in (6, 7) else pairs
        return [found for one, other in pairs for found in differences(one, other, f"{place}[]")]
    if isinstance(sample, dict):
        if (
            sample
            and simulated
            and all(key[:1].isdigit() or ":" in key for key in [*sample, *simulated])
            and not any("." in k for k in sample)
        ):
            # Keyed by date, time or symbol: one stands for all.
            return differences(next(iter(sample.values())), next(iter(simulated.values())), f"{place}.*")
        unknown = [f"{place}.{key} is not in the sample" for key in simulated if key not in sample]
        return unknown + [
            found
            for key in simulated
            if key in sample
            for found in differences(sample[key], simulated[key], f"{place}.{key}")
        ]
    return []


def get(path: str, *faults: Fault) -> Callable[[Providers, httpx.Client], httpx.Response]:
    def fetch(providers: Providers, client: httpx.Client) -> httpx.Response:
        providers.fail(*faults)
        return client.get(path)

    return fetch


@pytest.mark.parametrize(
    ("name", "status", "fetch"),
    [
        ("kite_historical_day.json", 200, get(CANDLES.format(TOKEN, "2024-12-31"))),
        ("kite_historical_empty.json", 200, get(CANDLES.format(TOKEN, "2024-12-01"))),
        ("kite_quote.json", 200, get("/quote?i=NSE:ACC")),
        ("kite_error_403_token.json", 403, get("/quote?i=NSE:ACC", Fault("kite", "dead_token"))),
        ("kite_error_403_permission.json", 403, get("/quote?i=NSE:ACC", Fault("kite", "no_plan"))),
        ("kite_error_429_rate.json", 429, get("/quote?i=NSE:ACC", Fault("kite", "rate_limit"))),
        ("kite_error_500_general.json", 500, get("/quote?i=NSE:ACC", Fault("kite", "error_500"))),
        ("kite_error_400_token_invalid.json", 400, get(CANDLES.format(7, "2024-12-31"))),
        ("kite_error_400_range.json", 400, get(CANDLES.format(TOKEN, "2034-12-31"))),
        ("yahoo_chart_ok.json", 200, get(CHART.format(1735300000))),
        ("yahoo_chart_events.json", 200, get(CHART.format(1700000000))),
        ("yahoo_chart_empty_quote.json", 200, get(CHART.format(1735699999))),
        ("yahoo_chart_404.json", 404, get("/v8/finance/chart/GONE.NS")),
        ("alphavantage_daily_ok.json", 200, get(QUERY)),
        ("alphavantage_error_symbol.json", 200, get(QUERY.replace("ACC", "GONE"))),
        ("alphavantage_rate_daily.json", 200, get(QUERY, Fault("alpha_vantage", "daily_limit"))),
        ("alphavantage_rate_burst.json", 200, get(QUERY, Fault("alpha_vantage", "burst"))),
        ("alphavantage_premium_full.json", 200, get(QUERY, Fault("alpha_vantage", "premium"))),
        ("alphavantage_empty.json", 200, get(QUERY, Fault("alpha_vantage", "empty"))),
    ],
)
def test_an_answer_has_the_fields_and_types_of_the_sample(
    simulated: tuple[Providers, httpx.Client],
    name: str,
    status: int,
    fetch: Callable[[Providers, httpx.Client], httpx.Response],
) -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"{SAMPLES} is not here: no sample of a provider to compare with")
    response = fetch(*simulated)
    assert response.status_code == status
    sample = json.loads((SAMPLES / name).read_text())
    assert differences(sample, response.json()) == []
    # A refusal says it in the same words, where these are what the pipeline looks at.
    if name.startswith("kite_error"):
        assert response.json() == sample
    for words in ("sparingly", "requests per day", "premium", "Invalid API call"):
        if name.startswith("alphavantage_") and words in str(sample) and len(sample) == 1:
            assert words in response.text


def test_the_instruments_dump_has_the_columns_of_the_sample(simulated: tuple[Providers, httpx.Client]) -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"{SAMPLES} is not here: no sample of a provider to compare with")
    lines = simulated[1].get("/instruments/NSE").text.splitlines()
    assert lines[0] == (SAMPLES / "kite_instruments_nse_head.csv").read_text().splitlines()[0]
    assert lines[2].startswith(f"{TOKEN},7,ACC,")


@pytest.mark.parametrize(
    ("path", "allowed", "refusal"),
    [
        (CANDLES.format(TOKEN, "2024-12-31"), 3, "Too many requests"),
        ("/quote?i=NSE:ACC", 1, "Too many requests"),
        (CHART.format(1734900000), 2, "Too Many Requests"),
        (QUERY, 1, "sparingly"),
    ],
)
def test_a_request_beyond_the_limit_of_a_second_is_refused(
    simulated: tuple[Providers, httpx.Client], path: str, allowed: int, refusal: str
) -> None:
    texts = [simulated[1].get(path).text for _ in range(allowed + 1)]
    assert [refusal in text for text in texts] == [False] * allowed + [True]


def test_the_26th_request_of_a_day_is_refused(simulated: tuple[Providers, httpx.Client]) -> None:
    providers, client = simulated
    providers.limits = Limits(alpha_vantage=1000)
    texts = [client.get(QUERY).text for _ in range(26)]
    assert ["requests per day" in text for text in texts] == [False] * 25 + [True]


@pytest.mark.parametrize("fault", [("kite", "earthquake"), ("nobody", "latency")])
def test_a_fault_that_nobody_has_is_refused(fault: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="there is no fault"):
        Fault(*fault)
