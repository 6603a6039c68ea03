"""The dashboard in a real browser: every panel shows what the warehouse holds."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from extract.seeds import EXCHANGE_ZONE
from tests.reports.conftest import APART, AUTHORIZATION, RESTATED, TOKEN, Populated, serving
from tests.reports.page_speed import ARGUMENTS, CHROMIUM, measure

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")

_PHONE = {"width": 360, "height": 740}

# Not of what is slow, but of what hangs: a symbol's statements take seconds where others work beside.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def served(populated: Populated) -> Iterator[httpx.Client]:
    with serving(populated.pipeline, API_TOKEN=TOKEN) as client:
        yield client


@contextmanager
def _opened(
    browser: Browser,
    served: httpx.Client,
    path: str = "/",
    token: str | None = TOKEN,
    *,
    complaint: str | None = None,
    **context: Any,
) -> Iterator[Page]:
    """A tab of its own, in which nothing else than ``complaint`` may be complained of, or loaded from elsewhere."""
    complaints: list[str] = []
    elsewhere: list[str] = []
    opened = browser.new_context(**context)
    page = opened.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    address = str(served.base_url).rstrip("/")
    page.on("request", lambda asked: elsewhere.append(asked.url) if not _is_ours(asked.url, address) else None)
    if token:
        page.add_init_script(f"sessionStorage.setItem('token', '{token}')")
    page.goto(address + path)
    yield page
    if folder := os.environ.get("SCREENSHOTS"):
        name = re.sub(r"\W+", "-", os.environ["PYTEST_CURRENT_TEST"].split("::")[1].split(" ")[0])
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    opened.close()
    assert (complaints, elsewhere) == ([complaint] if complaint else [], [])


def _is_ours(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))


@pytest.fixture
def page(browser: Browser, served: httpx.Client) -> Iterator[Page]:
    with _opened(browser, served) as page:
        _wait_for(page, "today")
        yield page


def _wait_for(page: Page, view: str) -> None:
    expect(page.locator(f"body[data-drawn={view}]")).to_be_attached()


def _go(page: Page, path: str, view: str) -> None:
    """Show another view, as a click on a link does."""
    page.evaluate(
        """(path) => {
            const link = Object.assign(document.createElement("a"), { href: path });
            document.body.append(link);
            link.click();
            link.remove();
        }""",
        path,
    )
    _wait_for(page, view)


def _series(page: Page, panel: str, name: str) -> list[dict[str, Any]]:
    """The points of a chart's series, as the library of the charts holds them."""
    points: list[dict[str, Any]] = page.evaluate(
        """async ([panel, name]) => {
            const { drawn } = await import("/page/charts.js");
            return drawn[panel].series[name].data().map((point) => ({...point}));
        }""",
        [panel, name],
    )
    return points


def _is_adjusted_shown(page: Page) -> bool:
    shown: bool = page.evaluate(
        "async () => (await import('/page/charts.js')).drawn.candles.series.adjusted.options().visible"
    )
    return shown


def _told(day: date) -> str:
    """A day as the page writes it."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec")
    return f"{day.day} {months[day.month - 1]} {day.year}"


def _point_at(page: Page, panel: str, part: float) -> None:
    """Put the pointer on a chart, at a part of its width, a little below its middle."""
    place = page.locator(f"#{panel}")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2 + 1)


def _reading(page: Page, panel: str) -> list[str]:
    return page.locator(f"#{panel}-reading b").all_text_contents()


def _table(page: Page, panel: str) -> list[list[str]]:
    rows = page.locator(f"#{panel} tbody tr").all()
    return [row.locator("th, td").all_text_contents() for row in rows]


def _find(page: Page, text: str) -> None:
    """Type it into the search, which the key / opens."""
    page.locator("#content").focus()
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type(text)


def _choose(page: Page, symbol: str) -> None:
    _find(page, symbol)
    page.keyboard.press("Enter")


@contextmanager
def _changed(page: Page, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """The server's overview, changed on its way to the page, which reads it again."""

    def answer(route: Route) -> None:
        told = route.fetch()
        overview = told.json()
        change(overview)
        route.fulfill(response=told, json=overview)

    page.route("**/dashboard/overview", answer)
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("body[data-drawn=today]")).to_be_attached()
    yield
    page.unroute("**/dashboard/overview")


def _let_go(page: Page, held: list[Route]) -> None:
    """Answer the overview, as soon as it is asked for, and hold it no more."""
    while not held:
        page.wait_for_timeout(50)
    held.pop().continue_()
    page.unroute("**/dashboard/overview")


def test_who_sends_no_token_is_asked_for_it_and_a_wrong_one_is_told(browser: Browser, served: httpx.Client) -> None:
    complaints_of_the_browser = []
    opened = browser.new_context()
    page = opened.new_page()
    page.on("console", lambda said: complaints_of_the_browser.append(said.text))
    page.goto(str(served.base_url))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#refused")).to_be_empty()
    expect(page.locator("#today")).to_be_hidden()
    expect(page.locator("#environment")).to_be_empty()
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type("another")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the right token. Look it up, and try again.")
    expect(page.locator("#token")).to_have_value("")
    # The warehouse may take seconds.
    held: list[Route] = []
    page.route("**/dashboard/overview", lambda route: held.append(route))  # noqa: PLW0108 Playwright marks it.
    page.locator("#token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in")).to_have_text("Signing in ...")
    expect(page.get_by_role("status").first).to_have_text("Reading the warehouse ...")
    expect(page.locator("#refused")).to_be_empty()
    _let_go(page, held)
    _wait_for(page, "today")
    expect(page.locator("#login")).to_be_hidden()
    expect(page.get_by_role("status").first).to_be_hidden()
    page.route("**/dashboard/overview", lambda route: held.append(route))  # noqa: PLW0108 Playwright marks it.
    page.locator("#refresh").click()
    expect(page.locator("#refresh")).to_have_text("Reading ...")
    _let_go(page, held)
    expect(page.locator("#refresh")).to_have_text("Refresh")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#login")).to_be_visible()
    expect(page.locator("#today")).to_be_hidden()
    # Chromium notes each refusal, and nothing else was wrong.
    assert complaints_of_the_browser
    assert all("401" in said for said in complaints_of_the_browser)
    opened.close()


def test_without_an_api_token_the_page_and_the_server_say_what_to_set(browser: Browser, populated: Populated) -> None:
    with serving(populated.pipeline) as client:
        complaint = "Failed to load resource: the server responded with a status of 403 (Forbidden)"
        with _opened(browser, client, token=None, complaint=complaint) as page:
            expect(page.locator("#no-token")).to_contain_text("export API_TOKEN=")
            expect(page.locator("#login")).to_be_hidden()
        (log, *_) = sorted(
            populated.pipeline.archive_dir.parent.glob("serve-*.log"), key=lambda path: -path.stat().st_mtime
        )
        assert "API_TOKEN is not set where this server runs" in log.read_text()


def test_the_first_screen_has_the_verdict_its_reasons_and_four_figures(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    ((latest, score, valid, instruments),) = query(
        "select latest_trade_date, latest_quality_score, latest_valid_record_count, instrument_count"
        " from `{d}_quality.data_status`"
    )
    assert page.locator("#figures > div > dd:first-of-type").all_text_contents() == [
        _told(latest),
        f"{valid} of {instruments}",
        f"{score:.2f}",
        "incomplete",
    ]
    ((before,),) = query(
        "select valid_bar_count from `{d}_quality.quality_scores_by_session` where trade_date <"
        f" date '{latest}' order by trade_date desc limit 1"
    )
    change = page.locator("#figures > div").nth(1).locator("dd.quiet").text_content()
    by = valid - before
    assert change == (
        f"{'+' if by > 0 else '\N{MINUS SIGN}'}{abs(by)} against the session before" if by else "as the session before"
    )
    alerts = query("select severity, text, remedy from `{d}_operations.operations_alerts`")
    page.locator("#more-reasons summary").click()
    told = []
    for item in page.locator("#reasons li, #notes li").all():
        remedy = item.locator("code, .remedy").all_text_contents()
        told.append((item.locator("strong").inner_text().upper(), item.locator(".text").inner_text(), *remedy))
    known = {(s, " ".join(t.split()), *([r] if r else [])) for s, t, r in alerts}
    assert set(told) >= known
    assert len(told) == len(set(told))
    # What no view can know: for what the sources were asked, and did not send.
    assert all("answered without" in text for _, text, *_ in set(told) - known)
    is_wrong = any(severity in ("ERROR", "CRITICAL") for severity, *_ in alerts)
    assert page.locator("#badge").inner_text() == ("✕ Wrong" if is_wrong else "! Incomplete")
    # Where and what, also among forty tabs.
    assert "local · trading_data · Trading data" in page.title()
    assert page.title()[0] in "✕!"
    assert re.fullmatch(r"local · trading_data · version \d+[.]\d+.*", page.locator("#environment").inner_text())


def test_a_command_is_copied(browser: Browser, served: httpx.Client) -> None:
    with _opened(browser, served, permissions=["clipboard-read", "clipboard-write"]) as page:
        _wait_for(page, "today")
        line = page.locator("#reasons .command").first
        line.get_by_role("button").click()
        expect(line.get_by_role("button")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == line.locator("code").inner_text()


def test_the_charts_hold_the_rows_of_the_warehouse(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    scores = _series(page, "scores", "score")
    rows = query("select trade_date, quality_score from `{d}_quality.quality_scores_by_session` order by trade_date")
    year_ago = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=370)
    # A day without an expected bar has no score, and no point.
    recent = [(str(day), score) for day, score in rows if day >= year_ago and score is not None]
    assert len(recent) > 200
    assert [(point["time"], point["value"]) for point in scores] == recent

    # A column reaches up to the sum of its source and those below it.
    kite, sums = (
        {point["time"]: point["value"] for point in _series(page, "sources", name)} for name in ("kite", "yahoo")
    )
    yahoo = {day: total - kite[day] for day, total in sums.items()}
    served = {
        (source, day): count
        for source, counts in (("kite", kite), ("yahoo", yahoo))
        for day, count in counts.items()
        if count
    }
    days_ago = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=62)
    assert served == {
        (source, str(day)): count
        for source, day, count in query(
            "select source_id, trade_date, count(*) from `{d}.fct_daily_bars`"
            f" where is_valid and trade_date >= date '{days_ago}' group by source_id, trade_date"
        )
    }
    assert {source for source, _ in served} == {"kite", "yahoo"}


def test_what_is_not_here_is_listed_and_nothing_else(page: Page, populated: Populated) -> None:
    days_ago = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=62)
    gaps = populated.pipeline.query(
        "select symbol, trade_date, state from `{d}_quality.quality_coverage`"
        f" where trade_date >= date '{days_ago}' and state in ('missing', 'invalid')"
    )
    by_symbol: dict[str, dict[date, str]] = {}
    for symbol, day, state in gaps:
        by_symbol.setdefault(symbol, {})[day] = {"missing": "×missing", "invalid": "!not valid"}[state]
    order = sorted(by_symbol, key=lambda symbol: (-len(by_symbol[symbol]), symbol))[:60]
    days = sorted({day for _, day, _ in gaps})[-24:][::-1]
    headings = page.locator("#gaps thead th").all_text_contents()
    assert headings == ["Symbol", *(_told(day).rpartition(" ")[0] for day in days), "Company"]
    assert [row[:-1] for row in _table(page, "gaps")] == [
        [symbol, *(by_symbol[symbol].get(day, "") for day in days)] for symbol in order
    ]
    sessions = len({day for _, day, _ in gaps})
    assert (
        page.locator("#gaps-told")
        .inner_text()
        .startswith(
            f"{len(gaps):,} bars of {len(by_symbol)} symbols in {sessions} session{'s' * (sessions > 1)}, since "
        )
    )
    rest = len(by_symbol) - 60
    expect(page.locator("#gaps p")).to_have_text(f"And {rest} more symbols.")


def test_where_nothing_is_missing_the_page_says_so(page: Page) -> None:
    def fill(overview: dict[str, Any]) -> None:
        for row in overview["coverage"]:
            row["states"] = re.sub("[miMI]", "p", row["states"])
        overview["verdict"] = {"state": "ok", "headline": "The data can be trusted.", "reasons": []}

    with _changed(page, fill):
        expect(page.locator("#gaps-told")).to_contain_text("Every expected bar is here")
        expect(page.locator("#gaps table")).to_have_count(0)
        expect(page.locator("#badge")).to_have_text("✓ OK")
        expect(page.locator("#no-alerts")).to_have_text("None.")
        assert page.title().startswith("✓")


def test_each_end_of_a_run_has_its_word(page: Page) -> None:
    ends = [
        (0, "run-1", "succeeded"),
        (1, "run-1", "failed"),
        (2, "run-1", "refused: a setting or an argument was wrong"),
        (3, "run-1", "incomplete"),
        (130, "run-1", "interrupted"),
        (None, "run-1", "killed"),
        (None, "run-2", "running"),
    ]

    def end(overview: dict[str, Any]) -> None:
        assert overview["at_work"] == []
        overview["at_work"] = ["run-2"]
        (run,) = [run for run in overview["runs"] if run["command"] == "run"]
        overview["runs"] = [run | {"exit_status": status, "run_id": run_id} for status, run_id, _ in ends]

    def end_without_a_lease(overview: dict[str, Any]) -> None:
        end(overview)
        overview["at_work"] = None

    with _changed(page, end):
        assert [row[2] for row in _table(page, "runs-table")] == [word for *_, word in ends]
    with _changed(page, end_without_a_lease):
        assert [row[2] for row in _table(page, "runs-table")][-2:] == ["unknown", "unknown"]


def test_a_session_of_the_candles_is_read_and_the_adjusted_close_is_shown_on_request(page: Page) -> None:
    _go(page, f"/symbols/{RESTATED}", "symbol")
    bars = {bar["time"]: bar for bar in _series(page, "candles", "price")}
    told = {_told(date.fromisoformat(day)): day for day in bars}
    expect(page.locator("#candles-reading b").first).to_have_text(_told(date.fromisoformat(max(bars))))
    _point_at(page, "candles", 0.4)
    session, *prices = _reading(page, "candles")[:5]
    assert min(bars) < told[session] < max(bars)
    assert prices == [f"{bars[told[session]][name]:,.2f}" for name in ("open", "high", "low", "close")]
    page.mouse.move(0, 0)
    expect(page.locator("#candles-reading b").first).to_have_text(_told(date.fromisoformat(max(bars))))
    assert not _is_adjusted_shown(page)
    page.get_by_label("Adjusted close").press("Space")
    assert _is_adjusted_shown(page)
    closes = [point["value"] for point in _series(page, "candles", "adjusted") if "value" in point]
    assert len(closes) > 200


def test_quality_lists_what_is_unusual_and_each_symbol_is_a_link(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    _go(page, "/quality", "quality")
    ((kind, ratio, bars),) = query("select kind, price_ratio, bar_count from `{d}.fct_price_restatements`")
    (restated,) = _table(page, "restatements-table")
    assert restated[1:6] == [RESTATED, "Kite", kind.replace("_", " "), f"{ratio:.4f}", str(bars)]
    rows = query(
        "select symbol, check_id from `{d}.fct_daily_bars`, unnest(failed_checks) as check_id"
        " where trade_date = (select max(trade_date) from `{d}.fct_daily_bars` where is_valid)"
    )
    ((latest, provisional),) = query(
        "select count(*), countif(is_provisional) from `{d}.fct_daily_bars`"
        " where trade_date = (select max(trade_date) from `{d}.fct_daily_bars` where is_valid)"
    )
    counts = Counter(check for _, check in rows)
    usual = {check for check, count in counts.items() if count > 0.5 * latest}
    # From 08:00 IST of the next day on, the bars of the latest session are final.
    assert ("is_final" in usual) == (provisional > 0.5 * latest)
    unusual = {symbol for symbol, check in rows if check not in usual}
    assert {row[0] for row in _table(page, "unusual-table")} == unusual
    checks = {row[0].replace(" ", "_"): row[1] for row in _table(page, "checks-table")}
    seeds = query("select check_id from `{d}_intermediate.quality_checks`")
    assert checks == {check: str(counts[check]) for (check,) in seeds}
    disputes = query(
        "select trade_date, symbol, kind, verdict from `{d}_quality.quality_disputes`"
        " order by trade_date desc, symbol limit 20"
    )
    assert disputes
    assert [(row[0], row[1], row[2], row[6]) for row in _table(page, "disputes-table")] == [
        (_told(day), *(name.replace("_", " ") for name in names)) for day, *names in disputes
    ]
    symbols = {symbol for (symbol,) in query("select symbol from `{d}.dim_instruments`")}
    linked = 0
    for path, view in (("/", "today"), ("/quality", "quality"), ("/symbols", "symbols")):
        _go(page, path, view)
        for cell in page.locator(f"#{view} tbody :is(th, td)").all():
            if (text := cell.inner_text()) in symbols:
                assert cell.locator("a").get_attribute("href") == f"/symbols/{quote(text, safe='')}"
                linked += 1
    assert linked > len(symbols)


def test_the_last_run_is_told(page: Page, populated: Populated) -> None:
    ((requests, rows, seconds),) = populated.pipeline.query(
        "select request_count, landed_row_count, elapsed_seconds from `{d}_operations.operations_runs`"
        " where command = 'run'"
    )
    (run,) = [row for row in _table(page, "runs-table") if row[1] == "run"]
    assert run[2:6] == ["incomplete", f"{seconds:.1f}", f"{rows:,}", str(requests)]


@pytest.mark.parametrize(
    ("typed", "keys", "symbol"),
    [
        ("tcs", ("Enter",), "TCS"),
        ("infosys", ("Enter",), "INFY"),
        ("zomato", ("Enter",), "ETERNAL"),
        ("hdfc", ("ArrowDown", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown", "Enter"), None),
    ],
)
def test_a_symbol_is_found_by_letters_company_or_earlier_symbol(
    page: Page, typed: str, keys: tuple[str, ...], symbol: str | None
) -> None:
    _find(page, typed)
    field = page.locator("#find")
    expect(field).to_have_attribute("aria-expanded", "true")
    options = page.get_by_role("option")
    if symbol is None:
        # The second is chosen; from the first, ArrowUp leads to the last.
        symbol = options.nth(1).get_attribute("data-symbol")
    for key in keys[:-1]:
        page.keyboard.press(key)
    chosen = page.locator("[role=option][aria-selected=true]")
    expect(chosen).to_have_count(1)
    assert field.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    if typed == "zomato":
        expect(chosen).to_contain_text("ZOMATO is ETERNAL now")
    page.keyboard.press(keys[-1])
    _wait_for(page, "symbol")
    assert page.url.endswith(f"/symbols/{symbol}")
    expect(page.locator("#symbol-title .ticker")).to_have_text(symbol or "")
    expect(page.locator("#found")).to_be_hidden()


def test_a_search_that_finds_nothing_says_so_and_is_left(page: Page) -> None:
    _find(page, "nosuch")
    expect(page.locator("#found")).to_have_text("No symbol or company has “nosuch” in it.")
    page.keyboard.press("Enter")
    assert page.url.endswith("/")
    page.keyboard.press("Escape")
    expect(page.locator("#found")).to_be_hidden()
    expect(page.locator("#find")).to_have_value("")


def test_an_address_shows_the_same_when_it_is_opened_again(page: Page) -> None:
    days = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=100), datetime.now(EXCHANGE_ZONE).date() - timedelta(10)
    _choose(page, RESTATED)
    _wait_for(page, "symbol")
    for field, day in zip(("from", "to"), days, strict=True):
        page.locator(f"#{field}").fill(str(day))
    page.locator("#range").get_by_role("button", name="Show").click()
    page.wait_for_url(f"**/symbols/{RESTATED}?from={days[0]}&to={days[1]}")
    _wait_for(page, "symbol")

    def shown() -> list[str]:
        return [point["time"] for point in _series(page, "candles", "price")]

    within = shown()
    assert str(days[0]) <= within[0] < within[-1] <= str(days[1])
    page.go_back()
    _wait_for(page, "symbol")
    assert page.url.endswith(f"/symbols/{RESTATED}")
    assert len(shown()) > 200
    page.go_back()
    _wait_for(page, "today")
    expect(page.locator("#symbol")).to_be_hidden()
    page.go_forward()
    page.go_forward()
    _wait_for(page, "symbol")
    page.reload()
    _wait_for(page, "symbol")
    assert page.url.endswith(f"?from={days[0]}&to={days[1]}")
    assert shown() == within
    assert RESTATED in page.title()


def test_a_symbol_is_shown_whole(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    _choose(page, RESTATED)
    _wait_for(page, "symbol")
    year_ago = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=370)
    bars = query(
        "select trade_date, open, high, low, close, volume, source_id, is_provisional from `{d}.fct_daily_bars`"
        f" where symbol = '{RESTATED}' and trade_date >= date '{year_ago}' order by trade_date"
    )
    candles = _series(page, "candles", "price")
    names = ("time", "open", "high", "low", "close")
    assert [[str(row[0]), *map(float, row[1:5])] for row in bars] == [[bar[name] for name in names] for bar in candles]
    assert [point["value"] for point in _series(page, "candles", "volume")] == [row[5] for row in bars]
    # On one scale: the past that Kite sent at twice the price is a version of it, and no candle.
    closes = [bar["close"] for bar in candles]
    assert max(closes) / min(closes) < 4
    day, *prices, change, _, _, _, _ = _table(page, "bars-table")[0]
    assert (day, prices) == (_told(bars[-1][0]), [f"{price:,.2f}" for price in bars[-1][1:5]])
    assert change == f"{100 * (float(bars[-1][4]) / float(bars[-2][4]) - 1):.2f}"
    versions = _table(page, "versions-table")
    assert {row[5] == "now" for row in versions} == {True, False}
    spans = [(*key, len(list(rows))) for key, rows in groupby(bars, key=lambda row: (row[6], row[7]))]
    assert [(row[0], row[3]) for row in _table(page, "served-table")] == [
        (source.capitalize() + (" (provisional)" if is_provisional else ""), str(count))
        for source, is_provisional, count in reversed(spans)
    ]
    ((score, expected, missing),) = query(
        "select quality_score, expected_bar_count, missing_bar_count from `{d}_quality.quality_scores_by_symbol`"
        f" where symbol = '{RESTATED}'"
    )
    expect(page.locator("#symbol-told")).to_contain_text(
        f"Score {score:.2f} over {expected} sessions: {missing} missing"
    )
    actions = query(
        "select ex_date, status, status_reason from `{d}.fct_corporate_actions`"
        f" where symbol = '{RESTATED}' order by ex_date desc"
    )
    assert actions
    assert [(row[0], row[2], row[4]) for row in _table(page, "actions-table")] == [
        (_told(day), status, reason or "") for day, status, reason in actions
    ]


def test_the_bars_that_are_shown_can_be_saved(page: Page, served: httpx.Client) -> None:
    _go(page, f"/symbols/{RESTATED}", "symbol")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download CSV").click()
    first, last = page.locator("#from").input_value(), page.locator("#to").input_value()
    assert saving.value.suggested_filename == f"{RESTATED}_{first}_{last}.csv"
    asked = {"symbol": RESTATED, "from": first, "to": last, "format": "csv"}
    told = served.get("/bars", params=asked, headers=AUTHORIZATION)
    assert Path(saving.value.path()).read_text() == told.text
    assert len(told.text.splitlines()) > 200


@pytest.mark.parametrize("end", ["continue_", "abort"])
def test_of_two_symbols_the_one_that_was_chosen_last_is_shown(browser: Browser, served: httpx.Client, end: str) -> None:
    complaint = "Failed to load resource: net::ERR_FAILED" if end == "abort" else None
    with _opened(browser, served, complaint=complaint) as page:
        _wait_for(page, "today")
        held: list[Route] = []
        page.route(f"**/dashboard/symbols/{RESTATED}?**", lambda route: held.append(route))  # noqa: PLW0108 Playwright marks it.
        for symbol in (RESTATED, APART[0]):
            _choose(page, symbol)
        _wait_for(page, "symbol")
        with page.expect_event("requestfinished" if end == "continue_" else "requestfailed"):
            getattr(held[0], end)()
        page.wait_for_timeout(500)
        assert page.locator("#symbol-title .ticker").inner_text() == APART[0]
        assert page.url.endswith(f"/symbols/{APART[0]}")


def test_what_is_no_symbol_is_told_and_an_earlier_one_leads_on(browser: Browser, served: httpx.Client) -> None:
    missing = "Failed to load resource: the server responded with a status of 404 (Not Found)"
    with _opened(browser, served, "/symbols/relianc", complaint=missing) as page:
        expect(page.locator("#headline")).to_have_text("RELIANC is not among the symbols; did you mean RELIANCE?")
        expect(page.locator("#symbols-table")).to_be_visible()
    with _opened(browser, served, "/symbols/zomato?from=2026-01-01", complaint=missing) as page:
        _wait_for(page, "symbol")
        assert page.url.endswith("/symbols/ETERNAL?from=2026-01-01")
        expect(page.locator("#symbol-title")).to_contain_text("formerly ZOMATO")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_used_by_everybody_in_either_theme(browser: Browser, served: httpx.Client, scheme: str) -> None:
    with _opened(browser, served, color_scheme=scheme) as page:
        _wait_for(page, "today")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (scheme == "dark")
        for path, view in (
            ("/", "today"),
            (f"/symbols/{RESTATED}", "symbol"),
            ("/symbols", "symbols"),
            ("/quality", "quality"),
        ):
            _go(page, path, view)
            for summary in page.locator("summary").all():
                if summary.is_visible():
                    summary.click()
            _find(page, "hdfc")
            # WCAG 2.1 AA and the best practices, contrast included; each chart is one image to it.
            found = Axe().run(page, options={"resultTypes": ["violations"]})
            assert found.violations_count == 0, found.generate_report()
            page.keyboard.press("Escape")
        page.locator("#theme").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
        # It is kept.
        page.reload()
        _wait_for(page, "quality")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background


def test_at_the_width_of_a_phone_nothing_has_to_be_scrolled_sideways(browser: Browser, served: httpx.Client) -> None:
    with _opened(browser, served, viewport=_PHONE) as page:
        _wait_for(page, "today")
        for path, view, charts in (
            ("/", "today", ("scores", "sources")),
            (f"/symbols/{RESTATED}", "symbol", ("candles",)),
            ("/symbols", "symbols", ()),
            ("/quality", "quality", ()),
        ):
            _go(page, path, view)
            assert page.evaluate("document.scrollingElement.scrollWidth") <= _PHONE["width"]
            for panel in charts:
                box = page.locator(f"#{panel}").bounding_box()
                assert box is not None
                assert 200 < box["width"] <= _PHONE["width"]
            # A finger is wider than a pointer.
            for button in page.locator("header button, #range button").all():
                if button.is_visible():
                    shape = button.bounding_box()
                    assert shape is not None
                    assert shape["height"] >= 44


def test_each_stop_of_the_keyboard_is_seen(page: Page) -> None:
    stops = []
    page.locator("body").press("Tab")
    for _ in range(10):
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Tab")
    assert stops == [
        "Skip to the content",
        "Trading data",
        "find",
        "refresh",
        "theme",
        "leave",
        "Today",
        "Symbols",
        "Quality",
        "API",
    ]


def test_the_page_comes_small_and_is_kept(
    browser: Browser, served: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    speed = measure(browser, str(served.base_url), TOKEN)
    loaded = speed.loaded
    with capsys.disabled():
        print(f"words after {speed.words_ms:.0f} ms, charts after {speed.charts_ms:.0f} ms")
    # Whatever the machine: who reads does not wait for the charts.
    assert speed.words_ms < speed.charts_ms
    assert {"/", "/page/page.css", "/page/main.js", "/lightweight-charts.js", "/dashboard/overview"} <= loaded.keys()
    assert all(loaded.values())
    # Everything that the first screen needs, the data of 250 symbols included.
    assert sum(loaded.values()) < 250_000
    for address in loaded.keys() - {"/dashboard/overview"}:
        answer = served.get(address)
        assert answer.headers["Content-Encoding"] == "gzip"
        plain = served.get(address, headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert plain.content == answer.content
        again = served.get(address, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        # The library changes with its release alone, the page's own files with each of ours.
        kept = "max-age=86400" if address == "/lightweight-charts.js" else "no-cache"
        assert answer.headers["Cache-Control"] == again.headers["Cache-Control"] == kept


def test_the_library_of_the_charts_is_the_one_that_was_pinned(browser: Browser, served: httpx.Client) -> None:
    with closing(browser.new_context()) as opened:
        page = opened.new_page()
        page.add_init_script(f"sessionStorage.setItem('token', '{TOKEN}')")
        changed = served.get("/lightweight-charts.js").text + "\n"
        page.route(
            "**/lightweight-charts.js", lambda route: route.fulfill(body=changed, content_type="text/javascript")
        )
        page.goto(str(served.base_url))
        expect(page.locator("#headline")).to_have_text("The script that draws the charts could not be loaded.")
        # The words are there.
        expect(page.locator("#figures > div")).to_have_count(4)
        expect(page.locator("#verdict-text")).not_to_be_empty()
        assert page.evaluate("typeof LightweightCharts") == "undefined"


def test_the_charts_name_who_made_them(page: Page) -> None:
    # The notice of the library's licence, and the link that it asks for.
    expect(page.locator("footer")).to_contain_text("TradingView Lightweight Charts™, Copyright © ")
    assert page.locator("footer a").get_attribute("href") == "https://www.tradingview.com/"


def test_where_nothing_was_built_the_page_says_how_to_start(browser: Browser, populated: Populated) -> None:
    with serving(populated.pipeline, API_TOKEN=TOKEN, BIGQUERY_DATASET="nothing_here") as client:
        assert client.get("/dashboard/overview").status_code == 401
        answer = client.get("/dashboard/overview", headers=AUTHORIZATION)
        assert (answer.status_code, answer.json()["type"]) == (503, "/docs#nothing-built")
        assert "There is no data in local.nothing_here yet." in answer.json()["detail"]
        complaint = "Failed to load resource: the server responded with a status of 503 (Service Unavailable)"
        with _opened(browser, client, complaint=complaint) as page:
            expect(page.get_by_role("heading", name="There is no data yet")).to_be_visible()
            steps = page.locator("#start li code").all_text_contents()
            assert steps == ["trading-data kite-login", "trading-data backfill", "trading-data run"]
            expect(page.get_by_role("button", name="Refresh")).to_be_visible()


def test_the_api_is_described_for_people_and_nothing_comes_from_elsewhere(
    browser: Browser, served: httpx.Client
) -> None:
    with _opened(browser, served, "/docs") as page:
        expect(page.locator(".opblock-summary-path")).to_have_count(10)
        expect(page.locator(".info")).to_contain_text("/docs#wrong-token")
        # It is authorised with the token of this tab, so that an example runs.
        page.locator(".opblock-summary-path", has_text="/bars").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
