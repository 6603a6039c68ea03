"""How soon the first screen has its words and its charts, in a real browser, and what it loads.

``python -m tests.reports.page_speed http://127.0.0.1:8000 TOKEN`` measures a server that runs.
"""

import shutil
import statistics
import sys
from dataclasses import dataclass

from playwright.sync_api import Browser, sync_playwright

# Debian's, or what a runner of GitHub has; playwright's own is not fetched.
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

_TIMES = 5


@dataclass(frozen=True)
class Speed:
    """What a browser that has nothing of the page yet measured.

    Attributes:
        words_ms: until the verdict, the figures and the tables were there.
        charts_ms: until the charts were drawn.
        loaded: the bytes of each address, as they came over the wire, compressed.
    """

    words_ms: float
    charts_ms: float
    loaded: dict[str, int]


def measure(browser: Browser, address: str, token: str) -> Speed:
    """Open the first screen once, in a browser without a cache."""
    opened = browser.new_context()
    page = opened.new_page()
    page.add_init_script(f"sessionStorage.setItem('token', '{token}')")
    page.goto(address)
    page.wait_for_selector("body[data-drawn=today]", timeout=60_000)
    words, charts = (
        page.evaluate("(name) => performance.getEntriesByName(name)[0].startTime", name) for name in ("words", "charts")
    )
    loaded = page.evaluate(
        """Object.fromEntries(["navigation", "resource"]
            .flatMap((kind) => performance.getEntriesByType(kind))
            .filter((each) => each.name.startsWith("http"))
            .map((each) => [new URL(each.name).pathname, each.encodedBodySize]))"""
    )
    opened.close()
    return Speed(words, charts, loaded)


def main(address: str, token: str) -> None:
    """Print the median of some openings. The first, which warms the server, does not count."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        speeds = [measure(browser, address, token) for _ in range(_TIMES + 1)][1:]
        browser.close()
    words, charts = (statistics.median(each) for each in zip(*((s.words_ms, s.charts_ms) for s in speeds), strict=True))
    size = sum(speeds[0].loaded.values())
    print(f"words after {words:.0f} ms, charts after {charts:.0f} ms, {size / 1000:.0f} kB compressed")


if __name__ == "__main__":
    main(*sys.argv[1:])
