"""Whether the symbol and the ISIN of a record are of one share, as far as our instruments can tell."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from extract.files.opened import FileRefused
from extract.seeds import former_symbols, listed_instruments, share_code, share_codes

# With so many wrong ISINs, and so large a share of those that can be judged, no ISIN of the file is trusted.
_MANY, _LARGE_SHARE = 10, 0.1


class OfAnotherShare(ValueError):
    """The symbol and the ISIN of a record are of two shares; the message is a sentence about the record.

    Attributes:
        also: the symbol of the other share.
    """

    def __init__(self, reason: str, also: str) -> None:
        super().__init__(reason)
        self.also = also


@dataclass(frozen=True, slots=True)
class _Shares:
    """Our instruments by what they are and were called.

    Attributes:
        of_symbol: by symbol, the instruments that have or had it, each with the last day on which no other share can
            have that symbol.
        of_code: by share code, the instrument.
        symbols: by instrument, its current symbol.
    """

    of_symbol: Mapping[str, Mapping[int, date]]
    of_code: Mapping[str, int]
    symbols: Mapping[int, str]

    def of(self, symbol: str, day: date = date.min) -> set[int]:
        """The instruments that had a symbol on a day, or on any day."""
        return {share for share, last in self.of_symbol.get(symbol, {}).items() if day <= last}

    def owner(self, isin: str) -> int | None:
        return self.of_code.get(share_code(isin))


@cache
def _ours() -> _Shares:
    symbols = {instrument.instrument_id: instrument.symbol for instrument in listed_instruments()}
    of_symbol: dict[str, dict[int, date]] = defaultdict(dict)
    for share, former in former_symbols().items():
        for symbol, last_used_on in former.items():
            of_symbol[symbol][share] = last_used_on
    for share, symbol in symbols.items():
        of_symbol[symbol][share] = date.max
    return _Shares(of_symbol, share_codes(), symbols)


def check_share(symbol: str, isin: str | None) -> None:
    """Check that the symbol of one of our shares does not stand beside the ISIN of another one.

    Raises:
        OfAnotherShare: it does.
    """
    ours = _ours()
    owner = ours.owner(isin or "")
    shares = ours.of(symbol)
    if owner and shares and owner not in shares:
        raise OfAnotherShare(f"its ISIN {isin} is that of {ours.symbols[owner]}", ours.symbols[owner])


def contradicted_isins(
    day: date, symbols: Sequence[str], isins: Sequence[str | None], series: Sequence[str]
) -> dict[int, OfAnotherShare]:
    """The rows of a session whose ISIN cannot be theirs, each with the reason.

    Of two symbols in one series, an ISIN can be of one only. Our shares' ISINs must stand beside their own symbols; but
    a new symbol, or a new ISIN, is no fault where the old one is gone.

    Raises:
        FileRefused: many rows have a wrong ISIN, as where their column was shifted by one row.
    """
    rows = [(row, *cells) for row, cells in enumerate(zip(symbols, isins, series, strict=True)) if cells[1]]
    session = _Session(day, [(symbol, isin or "", sort) for _, symbol, isin, sort in rows])
    found: dict[int, OfAnotherShare] = {}
    for row, symbol, isin, sort in rows:
        if told := session.contradiction(symbol, isin or "", sort):
            found[row] = told
    ours = [row for row, symbol, isin, _ in rows if session.is_judged(symbol, isin or "")]
    for judged in (ours, [row for row, *_ in rows]):
        wrong = [row for row in judged if row in found]
        if len(wrong) >= _MANY and len(wrong) > _LARGE_SHARE * len(judged):
            first = found[wrong[0]]
            raise FileRefused(
                f"has ISINs of other shares in {len(wrong)} rows ({symbols[wrong[0]]}: {first}): a column may have been"
                " shifted by one row; download it again"
            )
    return found


class _Session:
    """The symbols and ISINs that stand beside each other in a session."""

    def __init__(self, day: date, rows: Sequence[tuple[str, str, str]]) -> None:
        self._ours = _ours()
        self._day = day
        self._symbols: dict[tuple[str, str], set[str]] = defaultdict(set)
        # By share of ours: a symbol of another share beside its ISIN; and whether its own symbol has another ISIN.
        strangers: dict[int, str] = {}
        displaced: set[int] = set()
        for symbol, isin, series in rows:
            self._symbols[isin, series].add(symbol)
            shares, owner = self._ours.of(symbol, day), self._ours.owner(isin)
            if owner not in shares:
                displaced |= shares
                if owner:
                    strangers[owner] = symbol
        self._strangers = {share: symbol for share, symbol in strangers.items() if share in displaced}

    def is_judged(self, symbol: str, isin: str) -> bool:
        """Whether the symbol or the ISIN is one of ours."""
        return bool(self._ours.of(symbol, self._day) or self._ours.owner(isin))

    def contradiction(self, symbol: str, isin: str, series: str) -> OfAnotherShare | None:
        shares, owner = self._ours.of(symbol, self._day), self._ours.owner(isin)
        if owner in shares:
            return None
        if owner and (shares or owner in self._strangers):
            return OfAnotherShare(f"its ISIN {isin} is that of {self._ours.symbols[owner]}", self._ours.symbols[owner])
        for share in shares & self._strangers.keys():
            stranger = self._strangers[share]
            return OfAnotherShare(f"its ISIN is {isin}, and its own stands beside {stranger}", stranger)
        for other in sorted(self._symbols[isin, series] - {symbol}):
            return OfAnotherShare(f"its ISIN {isin} stands beside {other} too, in series {series}", other)
        return None
