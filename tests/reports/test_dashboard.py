"""The dashboard in a real browser: every panel shows what the warehouse holds."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from extract.seeds import EXCHANGE_ZONE
from tests.reports.conftest import APART, AUTHORIZATION, RESTATED, TOKEN, Populated, serving

# Debian's, or what a runner of GitHub has; playwright's own is not fetched.
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")

_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_PHONE = {"width": 360, "height": 740}

# Not of what is slow, but of what hangs: a symbol's statements take seconds where others work beside.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def served(populated: Populated) -> Iterator[httpx.Client]:
    with serving(populated.pipeline, API_TOKEN=TOKEN) as client:
        yield client


@contextmanager
def _opened(
    browser: Browser, address: str, token: str | None = TOKEN, *, complaint: str | None = None, **context: Any
) -> Iterator[Page]:
    """A tab of its own, in which nothing else than ``complaint`` may be complained of, or loaded from elsewhere."""
    complaints: list[str] = []
    elsewhere: list[str] = []
    opened = browser.new_context(**context)
    page = opened.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: elsewhere.append(asked.url) if not _is_ours(asked.url, address) else None)
    if token:
        page.add_init_script(f"sessionStorage.setItem('token', '{token}')")
    page.goto(address)
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
    with _opened(browser, str(served.base_url)) as page:
        _wait_until_drawn(page)
        yield page


def _wait_until_drawn(page: Page) -> None:
    expect(page.locator("body[data-drawn=symbol]")).to_be_attached()


def _series(page: Page, panel: str, name: str) -> list[dict[str, Any]]:
    """The points of a chart's series, as the library of the charts holds them."""
    points: list[dict[str, Any]] = page.evaluate(
        "([panel, name]) => drawn[panel].series[name].data().map((point) => ({...point}))", [panel, name]
    )
    return points


def _point_at(page: Page, panel: str, part: float) -> None:
    """Put the pointer on a chart, at a part of its width, a little below its middle: that is between two rows."""
    place = page.locator(f"#{panel}")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2 + 1)


def _reading(page: Page, panel: str) -> list[str]:
    return page.locator(f"#{panel}-reading b").all_text_contents()


def _table(page: Page, panel: str) -> list[list[str]]:
    rows = page.locator(f"#{panel} tbody tr").all()
    return [row.locator("td").all_text_contents() for row in rows]


def test_who_sends_no_token_is_asked_for_it_and_sees_nothing(browser: Browser, served: httpx.Client) -> None:
    complaints_of_the_browser = []
    opened = browser.new_context()
    page = opened.new_page()
    page.on("console", lambda said: complaints_of_the_browser.append(said.text))
    page.goto(str(served.base_url))
    expect(page.get_by_role("status").first).to_have_text("Who may look sends a token.")
    expect(page.locator("#panels")).to_be_hidden()
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type("another")
    page.keyboard.press("Enter")
    expect(page.locator("#token")).to_have_value("")
    expect(page.locator("#login")).to_be_visible()
    page.locator("#token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#panels")).to_be_visible()
    expect(page.locator("#login")).to_be_hidden()
    _wait_until_drawn(page)
    page.get_by_role("button", name="Forget the token").click()
    expect(page.locator("#login")).to_be_visible()
    # Chromium notes each refusal, and nothing else was wrong.
    assert complaints_of_the_browser
    assert all("401" in said for said in complaints_of_the_browser)
    opened.close()


def test_the_headline_and_the_alerts_are_those_of_the_warehouse(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    ((latest, score, valid, instruments),) = query(
        "select latest_trade_date, latest_quality_score, latest_valid_record_count, instrument_count"
        " from `{d}_quality.data_status`"
    )
    headline = page.locator("#headline").text_content()
    assert headline is not None
    assert headline.startswith(f"The session of {latest} is here")
    assert f"with a score of {score:.2f}." in headline
    assert page.locator("#figures dd").all_text_contents()[:3] == [
        str(latest),
        f"{score:.2f}",
        f"{valid} of {instruments}",
    ]
    alerts = query("select severity, text, remedy from `{d}_operations.operations_alerts`")
    items = [item.inner_text().split("\n") for item in page.locator("#alerts li").all()]
    expected = [
        [f"{severity.lower()} {text.strip()}", *([remedy] if remedy else [])] for severity, text, remedy in alerts
    ]
    assert sorted([line.strip() for line in item if line.strip()] for item in items) == sorted(expected)


def test_the_charts_hold_the_rows_of_the_warehouse(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    scores = _series(page, "scores", "score")
    rows = query("select trade_date, quality_score from `{d}_quality.quality_scores_by_session` order by trade_date")
    year_ago = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=370)
    recent = [(str(day), score) for day, score in rows if day >= year_ago]
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


def test_the_heat_map_has_the_state_of_each_bar(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    days_ago = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=62)
    rows = query(
        "select symbol, trade_date, state, is_provisional from `{d}_quality.quality_coverage`"
        f" where trade_date >= date '{days_ago}'"
    )
    symbols = [symbol for (symbol,) in query("select symbol from `{d}.dim_instruments` order by symbol")]
    days = sorted({day for _, day, _, _ in rows})
    legend = {
        re.sub(r"\D+", " ", colour).strip(): text
        for colour, text in page.evaluate(
            "[...document.querySelectorAll('#legend li')].map((item) =>"
            " [getComputedStyle(item.firstChild).backgroundColor, item.textContent])"
        )
    }
    assert len(legend) == 6
    # The colour of each pixel, by the legend; a bar that is not expected is transparent.
    pixels = page.evaluate(
        """() => {
            const {width, height} = coverage;
            const {data} = coverage.getContext("2d").getImageData(0, 0, width, height);
            return Array.from({length: height}, (_, y) => Array.from({length: width}, (_, x) => {
                const at = 4 * (y * width + x);
                return data[at + 3] ? data.slice(at, at + 3).join(" ") : null;
            }));
        }"""
    )
    shown = {
        (symbol, day): legend[colour]
        for symbol, line in zip(symbols, pixels, strict=True)
        for day, colour in zip(days, line, strict=True)
        if colour is not None
    }
    names = {"invalid": "not valid", "fallback": "a fallback's", "primary": "the primary source's"}
    told = {
        (symbol, day): names.get(state, state)
        + (", provisional" if is_provisional and state in {"fallback", "primary"} else "")
        for symbol, day, state, is_provisional in rows
    }
    assert shown == told
    assert set(told.values()) >= {"missing", "a fallback's", "the primary source's"}
    assert len(pixels) == 250


def test_the_bar_under_the_pointer_is_read_and_a_click_shows_its_symbol(page: Page) -> None:
    sessions = [point["time"] for point in _series(page, "sources", "kite")]
    symbols = page.evaluate("shown.overview.symbols")
    _point_at(page, "coverage", 0.999)
    session, symbol, state = _reading(page, "coverage")
    assert (session, symbol) == (sessions[-1], symbols[125])
    assert state in page.locator("#legend li").all_text_contents()
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#symbol-headline")).to_contain_text(f"{symbol}, ")
    expect(page.locator("#chosen")).to_have_value(symbol)


def test_a_session_of_the_candles_is_read_and_the_adjusted_close_is_shown_on_request(page: Page) -> None:
    _choose(page, RESTATED)
    expect(page.locator("#symbol-headline")).to_contain_text(f"{RESTATED}, ")
    bars = {bar["time"]: bar for bar in _series(page, "candles", "price")}
    expect(page.locator("#candles-reading b").first).to_have_text(max(bars))
    _point_at(page, "candles", 0.4)
    session, *prices = _reading(page, "candles")[:5]
    assert min(bars) < session < max(bars)
    assert prices == [f"{bars[session][name]:,.2f}" for name in ("open", "high", "low", "close")]
    page.mouse.move(0, 0)
    expect(page.locator("#candles-reading b").first).to_have_text(max(bars))
    is_visible = "drawn.candles.series.adjusted.options().visible"
    assert page.evaluate(is_visible) is False
    page.get_by_label("Adjusted close").press("Space")
    assert page.evaluate(is_visible) is True
    closes = [point["value"] for point in _series(page, "candles", "adjusted") if "value" in point]
    assert len(closes) > 200


def test_restatements_disputes_and_runs_are_listed(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    (restated,) = _table(page, "restatements-table")
    ((kind, ratio, bars),) = query("select kind, price_ratio, bar_count from `{d}.fct_price_restatements`")
    assert restated[1:6] == [RESTATED, "kite", kind.replace("_", " "), f"{ratio:.4f}", str(bars)]
    weak = query(
        "select trade_date, symbol, array_to_string(failed_checks, ', ') from `{d}.fct_daily_bars`"
        " where array_length(failed_checks) > 0 and trade_date = (select max(trade_date) from `{d}.fct_daily_bars`)"
        " order by passed_weight / applicable_weight, symbol limit 20"
    )
    assert len(weak) >= 3
    assert [(row[0], row[1], row[5]) for row in _table(page, "weak-table")] == [(str(d), s, c) for d, s, c in weak]
    disputes = query(
        "select trade_date, symbol, kind, verdict from `{d}_quality.quality_disputes`"
        " order by trade_date desc, symbol limit 20"
    )
    assert disputes
    assert [(row[0], row[1], row[2], row[6]) for row in _table(page, "disputes-table")] == [
        (str(day), *names) for day, *names in disputes
    ]
    ((requests, rows, seconds),) = query(
        "select request_count, landed_row_count, elapsed_seconds from `{d}_operations.operations_runs`"
        " where command = 'run'"
    )
    (run,) = [row for row in _table(page, "runs-table") if row[1] == "run"]
    assert run[2:6] == ["3, incomplete", f"{seconds:.1f}", f"{rows:,}", str(requests)]


def test_a_symbol_is_chosen_by_keyboard_and_shown_whole(page: Page, populated: Populated) -> None:
    query = populated.pipeline.query
    _choose(page, RESTATED)
    expect(page.locator("#symbol-headline")).to_contain_text(f"{RESTATED}, ")
    assert page.url.endswith(f"#{RESTATED}")
    year_ago = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=370)
    bars = query(
        "select trade_date, open, high, low, close, volume from `{d}.fct_daily_bars`"
        f" where symbol = '{RESTATED}' and trade_date >= date '{year_ago}' order by trade_date"
    )
    candles = _series(page, "candles", "price")
    names = ("time", "open", "high", "low", "close")
    assert [[str(row[0]), *map(float, row[1:5])] for row in bars] == [[bar[name] for name in names] for bar in candles]
    assert [point["value"] for point in _series(page, "candles", "volume")] == [row[5] for row in bars]
    # On one scale: the past that Kite sent at twice the price is a version of it, and no candle.
    closes = [bar["close"] for bar in candles]
    assert max(closes) / min(closes) < 4
    day, close, change, *_ = _table(page, "bars-table")[0]
    assert (day, close) == (str(bars[-1][0]), f"{bars[-1][4]:,.2f}")
    assert change == f"{100 * (float(bars[-1][4]) / float(bars[-2][4]) - 1):.2f}"
    versions = _table(page, "versions-table")
    ((halved, doubled),) = query(
        "select countif(known_to is null), countif(known_to is not null) from `{d}.fct_daily_bar_revisions`"
        f" where symbol = '{RESTATED}' and source_id = 'kite' and trade_date = date '{versions[-1][0]}'"
    )
    assert (halved, doubled >= 1) == (1, True)
    assert {row[5] == "now" for row in versions} == {True, False}
    ((score, expected, missing),) = query(
        "select quality_score, expected_bar_count, missing_bar_count from `{d}_quality.quality_scores_by_symbol`"
        f" where symbol = '{RESTATED}'"
    )
    said = page.locator("#symbol-headline").text_content()
    assert said is not None
    assert f"score {score:.2f} over {expected} sessions, {missing} of them missing" in said
    actions = query(
        f"select ex_date from `{{d}}.fct_corporate_actions` where symbol = '{RESTATED}' order by ex_date desc"
    )
    assert [row[0] for row in _table(page, "actions-table")] == [str(day) for (day,) in actions]
    page.locator("#chosen").fill("NOSUCH")
    page.keyboard.press("Enter")
    expect(page.locator("#symbol-headline")).to_have_text("NOSUCH is none of the instruments.")


@pytest.mark.parametrize("end", ["continue_", "abort"])
def test_of_two_symbols_the_one_that_was_chosen_last_is_shown(browser: Browser, served: httpx.Client, end: str) -> None:
    complaint = "Failed to load resource: net::ERR_FAILED" if end == "abort" else None
    with _opened(browser, str(served.base_url), complaint=complaint) as page:
        _wait_until_drawn(page)
        held: list[Route] = []
        asked = f"**/dashboard/symbols/{RESTATED}?**"
        page.route(asked, lambda route: held.append(route))  # noqa: PLW0108 Playwright marks it.
        for symbol in (RESTATED, APART[0]):
            _choose(page, symbol)
        expect(page.locator("#symbol-headline")).to_contain_text(f"{APART[0]}, ")
        with page.expect_event("requestfinished" if end == "continue_" else "requestfailed"):
            getattr(held[0], end)()
        page.wait_for_timeout(500)
        assert page.locator("#symbol-headline").inner_text().startswith(f"{APART[0]}, ")
        assert page.url.endswith(f"#{APART[0]}")


def test_what_is_no_instrument_is_told_and_stays_told(page: Page) -> None:
    held: list[Route] = []
    page.route(f"**/dashboard/symbols/{RESTATED}?**", lambda route: held.append(route))  # noqa: PLW0108
    for symbol in (RESTATED, "nosuch"):
        _choose(page, symbol)
    with page.expect_event("requestfinished"):
        held[0].continue_()
    page.wait_for_timeout(500)
    assert page.locator("#symbol-headline").inner_text() == "NOSUCH is none of the instruments."


def _choose(page: Page, symbol: str) -> None:
    """Type it over what stands there."""
    page.locator("#chosen").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(symbol.lower())
    page.keyboard.press("Enter")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_used_by_everybody_in_either_theme(browser: Browser, served: httpx.Client, scheme: str) -> None:
    with _opened(browser, str(served.base_url), color_scheme=scheme) as page:
        _wait_until_drawn(page)
        for summary in page.locator("summary").all():
            summary.click()
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (scheme == "dark")
        # WCAG 2.1 AA and the best practices, contrast included; each chart is one image to it.
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()
        page.locator("#theme").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background


def test_at_the_width_of_a_phone_nothing_has_to_be_scrolled_sideways(browser: Browser, served: httpx.Client) -> None:
    with _opened(browser, str(served.base_url), viewport=_PHONE) as page:
        _wait_until_drawn(page)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= _PHONE["width"]
        for panel in ("scores", "sources", "coverage", "candles"):
            box = page.locator(f"#{panel}").bounding_box()
            assert box is not None
            assert 200 < box["width"] <= _PHONE["width"]


def test_each_stop_of_the_keyboard_is_seen(page: Page) -> None:
    stops = []
    page.locator("body").press("Tab")
    for _ in range(12):
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        page.keyboard.press("Tab")
    assert stops[:4] == ["skip", "reload", "theme", "leave"]
    assert "chosen" in [*stops, *_later_stops(page)]


def _later_stops(page: Page) -> list[str]:
    stops = []
    for _ in range(25):
        stops.append(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
    return stops


def test_the_page_and_its_scripts_come_small_and_are_kept(served: httpx.Client) -> None:
    transferred = 0
    for address in ("/", "/dashboard.css", "/dashboard.js", "/lightweight-charts.js"):
        answer = served.get(address)
        assert answer.headers["Content-Encoding"] == "gzip"
        transferred += answer.num_bytes_downloaded
        plain = served.get(address, headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert plain.content == answer.content
        again = served.get(address, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        # The library changes with its release alone, the page's own files with each of ours.
        kept = "max-age=86400" if address == "/lightweight-charts.js" else "no-cache"
        assert answer.headers["Cache-Control"] == again.headers["Cache-Control"] == kept
    assert transferred < 120_000


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
        expect(page.locator("#figures dd")).to_have_count(7)
        assert page.evaluate("typeof LightweightCharts") == "undefined"


def test_the_charts_name_who_made_them(page: Page) -> None:
    # The notice of the library's licence, and the link that it asks for.
    expect(page.locator("footer")).to_contain_text("TradingView Lightweight Charts™, Copyright © ")
    assert page.locator("footer a").get_attribute("href") == "https://www.tradingview.com/"


def test_where_the_warehouse_cannot_answer_the_page_says_why(browser: Browser, populated: Populated) -> None:
    pipeline = populated.pipeline
    with serving(pipeline, API_TOKEN=TOKEN, BIGQUERY_DATASET="nothing_here") as client:
        assert client.get("/dashboard/overview").status_code == 401
        answer = client.get("/dashboard/overview", headers=AUTHORIZATION)
        assert answer.status_code == 503
        opened = browser.new_context()
        page = opened.new_page()
        page.add_init_script(f"sessionStorage.setItem('token', '{TOKEN}')")
        page.goto(str(client.base_url))
        expect(page.locator("#headline")).to_contain_text("nothing has been built in local.nothing_here yet")
        opened.close()
