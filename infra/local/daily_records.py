"""The exchange's daily records of a simulated market, as a person would have downloaded them."""

import csv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from zlib import crc32

import numpy as np

from extract.seeds import Instrument, former_symbols
from extract.settings import PROJECT_DIR
from infra.local.series import TICKS_PER_RUPEE, Draft, ex_date_of

# When the exchange began, or ended, each file format.
_FIRST_WITH_ISIN = date(2011, 7, 1)
_FIRST_WITH_DELIVERY = date(2020, 1, 1)
_FIRST_UDIFF = date(2024, 1, 1)
_LAST_LEGACY = date(2024, 7, 5)

_LEGACY = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,"
_UDIFF = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,"
    "FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,"
    "TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4"
)
_WITH_DELIVERY = (
    "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE,"
    " TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER"
)

# One share in seven is in trade-to-trade during the first 15 sessions of each period of 120 sessions.
_ONE_IN, _TRADE_TO_TRADE, _PERIOD = 7, 15, 120
# A share has a block deal in about one of this many sessions.
_BLOCK_EVERY = 60


# An invented share that leaves the exchange. No provider has its bars, because providers drop a share that left.
DELISTED, DELISTED_ISIN = "LEFT", "INE000L01011"


@dataclass(frozen=True, slots=True)
class Traded:
    """A row of the record: one share in one series on one session, as it was traded; rupees and shares."""

    symbol: str
    series: str
    isin: str
    exchange_token: int
    open: float
    high: float
    low: float
    close: float
    prev_close: float
    volume: int
    turnover: float
    trades: int
    delivered_volume: int | None


def write_daily_records(
    market: Draft, folder: Path, first: date, last: date, *, has_delisted: bool = False
) -> list[Path]:
    """Write the exchange's records of a market's sessions, each in the forms that the exchange gave at that time.

    They have the exchange's own data (``market.truth``), without the defects of a provider: unadjusted prices and
    volumes, as traded; each share under its symbol of that day (if the seeds have no day for a renaming, it is in the
    middle of the market); the series ``BE`` while a share is in trade-to-trade; and now and then a block deal in ``BL``
    beside the ordinary row. The same market gives the same files.

    The files: ``cmDDMONYYYYbhav.csv.zip`` to 2024-07-05, before July 2011 without ISIN;
    ``BhavCopy_NSE_CM_0_0_0_YYYYMMDD_F_0000.csv.zip`` from 2024 on; ``sec_bhavdata_full_DDMMYYYY.csv``, which the
    exchange does not zip, from 2020 on.

    Args:
        market: from ``infra.local.market.draft_market``.
        folder: where the files go; it is created.
        first: the first day whose session is written.
        last: the last such day.
        has_delisted: whether the share ``DELISTED``, which is none of our instruments, is traded to the middle session.

    Returns:
        The files' paths, by session.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = _Names(market)
    paths = []
    for number, session in enumerate(market.sessions):
        day = session.trade_date
        if not first <= day <= last:
            continue
        rows = list(_rows(market, number, names))
        if has_delisted and day <= middle_of(market):
            rows.append(replace(rows[0], symbol=DELISTED, series="EQ", isin=DELISTED_ISIN, exchange_token=999_999))
        if day <= _LAST_LEGACY:
            paths.append(_zipped(folder / f"cm{f'{day:%d%b%Y}'.upper()}bhav.csv.zip", _legacy(rows, day)))
        if day >= _FIRST_UDIFF:
            paths.append(_zipped(folder / f"BhavCopy_NSE_CM_0_0_0_{day:%Y%m%d}_F_0000.csv.zip", _udiff(rows, day)))
        if day >= _FIRST_WITH_DELIVERY:
            paths.append(folder / f"sec_bhavdata_full_{day:%d%m%Y}.csv")
            paths[-1].write_text(_with_delivery(rows, day))
    return paths


def middle_of(market: Draft) -> date:
    """The session on which shares are renamed for which the seeds have no day, and the last one of ``DELISTED``."""
    return market.sessions[len(market.sessions) // 2].trade_date


def isins() -> dict[str, str]:
    """The ISIN of each of our instruments today, by its symbol."""
    with (PROJECT_DIR / "seeds" / "instruments.csv").open(newline="") as file:
        return {row["symbol"]: row["isin"] for row in csv.DictReader(file)}


class _Names:
    """The symbol of each instrument on each day, and how many shares of today one share of that day is."""

    def __init__(self, market: Draft) -> None:
        middle = middle_of(market)
        former = former_symbols()
        self._former = {
            instrument.instrument_id: sorted(
                (middle if last_used_on == date.max else last_used_on, symbol)
                for symbol, last_used_on in former.get(instrument.instrument_id, {}).items()
            )
            for instrument in market.instruments
        }
        self._isins = isins()
        self._splits: dict[str, list[tuple[date, float]]] = {}
        for action in market.corporate_actions:
            ratio = action["split_ratio"]
            assert isinstance(ratio, float)
            if ratio:
                self._splits.setdefault(str(action["symbol"]), []).append((ex_date_of(action), ratio))

    def symbol(self, instrument: Instrument, day: date) -> str:
        former = self._former[instrument.instrument_id]
        return next((symbol for last_used_on, symbol in former if day <= last_used_on), instrument.symbol)

    def isin(self, instrument: Instrument) -> str:
        return self._isins[instrument.symbol]

    def shares(self, instrument: Instrument, day: date) -> float:
        """How many shares of today one share of that day is."""
        return float(np.prod([ratio for ex_date, ratio in self._splits.get(instrument.symbol, ()) if day < ex_date]))


def _rows(market: Draft, number: int, names: _Names) -> Iterator[Traded]:
    bars, day = market.truth, market.sessions[number].trade_date
    for row, instrument in enumerate(market.instruments):
        if not bars.is_sent[row, number] or not instrument.is_listed(day):
            continue
        shares = names.shares(instrument, day)
        opened, high, low, close = (
            round(int(prices[row, number]) * shares / TICKS_PER_RUPEE, 2)
            for prices in (bars.open, bars.high, bars.low, bars.close)
        )
        before = close
        if number and bars.is_sent[row, number - 1]:
            # Not adjusted on an ex-date: the exchange's column has the close as traded on the day before.
            its_shares = names.shares(instrument, market.sessions[number - 1].trade_date)
            before = round(int(bars.close[row, number - 1]) * its_shares / TICKS_PER_RUPEE, 2)
        volume = max(round(int(bars.volume[row, number]) / shares), 1)
        draw = crc32(instrument.symbol.encode())
        is_held = draw % _ONE_IN == 0 and (number + draw) % _PERIOD < _TRADE_TO_TRADE
        average = (opened + high + low + close) / 4
        symbol, isin, token = names.symbol(instrument, day), names.isin(instrument), instrument.instrument_id
        yield Traded(
            symbol,
            "BE" if is_held else "EQ",
            isin,
            token,
            opened,
            high,
            low,
            close,
            before,
            volume,
            round(average * volume, 2),
            volume // 80 + 1,
            volume if is_held else round(0.45 * volume),
        )
        if not is_held and (number + draw) % _BLOCK_EVERY == 0:
            dealt = 500_000
            yield Traded(
                symbol, "BL", isin, token, close, close, close, close, before, dealt, round(close * dealt, 2), 1, None
            )


def _legacy(rows: Sequence[Traded], day: date) -> str:
    has_isin = day >= _FIRST_WITH_ISIN
    lines = [f"{_LEGACY}TOTALTRADES,ISIN," if has_isin else _LEGACY]
    for row in rows:
        prices = (row.open, row.high, row.low, row.close, row.close, row.prev_close)
        cells = [row.symbol, row.series, *map(_short, prices), str(row.volume), _short(row.turnover)]
        cells.append(f"{day:%d-%b-%Y}".upper())
        if has_isin:
            cells += [str(row.trades), row.isin]
        lines.append(f"{','.join(cells)},")
    return _text(lines)


def _udiff(rows: Sequence[Traded], day: date) -> str:
    lines = [_UDIFF]
    for row in rows:
        prices = ",".join(
            f"{price:.2f}" for price in (row.open, row.high, row.low, row.close, row.close, row.prev_close)
        )
        lines.append(
            f"{day},{day},CM,NSE,STK,{row.exchange_token},{row.isin},{row.symbol},{row.series},,,,,SIMULATED LTD,"
            f"{prices},,{row.close:.2f},,,{row.volume},{row.turnover:.2f},{row.trades},F1,1,,,,,"
        )
    return _text(lines)


def _with_delivery(rows: Sequence[Traded], day: date) -> str:
    lines = [_WITH_DELIVERY]
    for row in rows:
        delivered = row.delivered_volume
        cells = [row.symbol, row.series, f"{day:%d-%b-%Y}"]
        prices = (row.prev_close, row.open, row.high, row.low, row.close, row.close, row.turnover / row.volume)
        cells += [f"{price:.2f}" for price in prices]
        cells += [str(row.volume), f"{row.turnover / 100_000:.2f}", str(row.trades)]
        cells += ["-", "-"] if delivered is None else [str(delivered), f"{100 * delivered / row.volume:.2f}"]
        lines.append(", ".join(cells))
    return _text(lines)


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _zipped(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as whole:
        # A fixed time, so that the same market gives the same bytes.
        member = zipfile.ZipInfo(path.name.removesuffix(".zip"), (2000, 1, 1, 0, 0, 0))
        whole.writestr(member, text, zipfile.ZIP_DEFLATED)
    return path
