"""Make the picture of the page for the README: its first screen, in a window of a laptop.

``python -m tests.reports.screenshot http://127.0.0.1:8000 TOKEN infra/page.webp`` takes it from a server that runs.
"""

import sys
from base64 import b64decode
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.reports.page_speed import ARGUMENTS, CHROMIUM


def main(address: str, token: str, path: str) -> None:
    """Write the picture as WebP, which takes a third of the bytes of a PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1200, "height": 1150}, color_scheme="light")
        page.add_init_script(f"sessionStorage.setItem('token', '{token}')")
        page.goto(address)
        page.wait_for_selector("body[data-drawn=today]", timeout=60_000)
        taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": 85})
        Path(path).write_bytes(b64decode(taken["data"]))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
