"""yfinance and pandas-gbq, as in a notebook: symbol by symbol, or all symbols with yfinance's own threads."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import curl_cffi.requests
import pandas as pd
import pandas_gbq
import yfinance as yf
from google.auth.credentials import AnonymousCredentials

from infra.bench.peer import PROJECT, TABLE

_SERVER = urlsplit(os.environ["YAHOO_BASE_URL"])
_THREADS = int(os.environ.get("YFINANCE_THREADS", "0"))


class _Session(curl_cffi.requests.Session):
    """Sends every request to the simulated Yahoo, because yfinance has the real hosts built in."""

    def request(self, method: Any, url: str, *arguments: Any, **options: Any) -> Any:
        address = urlsplit(url)._replace(scheme=_SERVER.scheme, netloc=_SERVER.netloc)
        return super().request(method, address.geturl(), *arguments, **options)


def fetch(path: Path) -> None:
    """Download each ticker of a file and load it."""
    asked = json.loads(path.read_text())
    tickers = asked["tickers"]
    yf.set_tz_cache_location(str(path.parent / "yfinance"))
    session = _Session()
    options = {"start": asked["start"], "end": asked["end"], "auto_adjust": False, "progress": False}
    for group in [tickers] if _THREADS else [[ticker] for ticker in tickers]:
        frame = yf.download(group, threads=_THREADS or False, session=session, **options)
        rows = frame.stack("Ticker", future_stack=True).reset_index().dropna(subset=["Close"])
        rows.columns = pd.Index([name.lower().replace(" ", "_") for name in rows.columns])
        if not rows.empty:
            pandas_gbq.to_gbq(
                rows,
                TABLE,
                project_id=PROJECT,
                credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
                if_exists="append",
                progress_bar=False,
            )
