"""Turn what people type for a share into our symbols."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from extract.errors import ConfigurationError
from extract.seeds import Instrument, former_symbols, instrument_names, listed_instruments

# An error names at most this many symbols that may be meant.
_NAMED = 3
# A word is compared with our symbols if it has at least _LETTERS letters; a symbol is suggested from this likeness on.
_LIKENESS = 0.7
_LETTERS = 3


class UnknownSymbol(ConfigurationError):
    """What was typed does not name one of our shares.

    Attributes:
        word: what was typed.
        hint: the symbols that may be meant, as the end of a sentence.
    """

    def __init__(self, word: str, near: list[str]) -> None:
        self.word = word
        self.hint = f"; did you mean {' or '.join(near)}?" if near else "; write NSE symbols, as TCS,INFY"
        super().__init__(f"{word}: not in seeds/instruments.csv{self.hint}")


@dataclass(frozen=True, slots=True)
class Meant:
    """The instruments that a person means.

    Attributes:
        instruments: in the order of the seed.
        notes: one sentence for each word that was read as another symbol.
    """

    instruments: list[Instrument]
    notes: list[str]


def meant(typed: str) -> Meant:
    """The instruments that a person means by a list of symbols.

    Symbols may be in any case, separated by commas, semicolons or blanks, and written as the providers write them
    (``TCS.NS``, ``NSE:TCS``, ``TCS-EQ``). A former symbol is accepted if only one share had it.

    Raises:
        ConfigurationError: there is no symbol, or one is unknown; the text says which may be meant.
    """
    if _plain(typed) == "ALL":
        return Meant(listed_instruments(), [])
    book = _Book(listed_instruments(), former_symbols(), instrument_names())
    symbols: list[str] = []
    notes: list[str] = []
    for piece in re.split(r"[,;\n]+", typed):
        words = piece.split()
        # The name of a company may consist of several words.
        for word in words if book.symbol(piece) is None else [piece]:
            symbol = book.symbol(word)
            if symbol is None:
                raise UnknownSymbol(word, book.near(piece) or book.near(word))
            symbols.append(symbol)
            if note := book.note(word, symbol):
                notes.append(note)
    if not symbols:
        raise ConfigurationError("there is no symbol; write TCS,INFY, or leave it out for all")
    return Meant(listed_instruments(symbols), list(dict.fromkeys(notes)))


def _plain(typed: str) -> str:
    """A word without the characters that people and programs put around it."""
    return unicodedata.normalize("NFKC", typed).strip().strip("\"'\u2018\u2019\u201c\u201d$").upper()


class _Book:
    """A look-up from the names of a share to its symbol."""

    def __init__(
        self, instruments: list[Instrument], former: Mapping[int, Iterable[str]], names: Mapping[str, str]
    ) -> None:
        self._names = names
        self._symbols = {name: instrument.symbol for instrument in instruments for name in _providers_names(instrument)}
        by_id = {instrument.instrument_id: instrument.symbol for instrument in instruments}
        self._former: dict[str, set[str]] = {}
        for instrument_id, symbols in former.items():
            for symbol in symbols:
                if instrument_id in by_id:
                    self._former.setdefault(symbol, set()).add(by_id[instrument_id])

    def symbol(self, word: str) -> str | None:
        """The symbol of the only share that can be meant; None if there is none, or more than one."""
        plain = _plain(word).removeprefix("NSE:")
        if plain in self._symbols:
            return self._symbols[plain]
        formerly = self._former.get(_bare(plain), set())
        return next(iter(formerly)) if len(formerly) == 1 else None

    def note(self, word: str, symbol: str) -> str | None:
        """A sentence that says that the word is a former symbol; None if it is not."""
        plain = _plain(word).removeprefix("NSE:")
        return None if plain in self._symbols else f"{_bare(plain)} is {symbol} now"

    def near(self, word: str) -> list[str]:
        """The symbols that may be meant by an unknown word; if it is like a company's name, with that name."""
        plain = _plain(word)
        bare = _bare(plain.removeprefix("NSE:"))
        if len(bare) < _LETTERS:
            return []
        if formerly := self._former.get(bare):
            return sorted(formerly)
        named = [symbol for symbol, name in self._names.items() if f" {plain} " in f" {_plain(name)} "]
        if named:
            return [f"{symbol} ({self._names[symbol]})" for symbol in named[:_NAMED]]
        return get_close_matches(bare, [*self._names], n=_NAMED, cutoff=_LIKENESS)


def _bare(plain: str) -> str:
    """A symbol without the suffix for the exchange that a provider appends."""
    return re.sub(r"\.(NS|BO|NSE|BSE)$|-EQ$", "", plain)


def _providers_names(instrument: Instrument) -> Iterator[str]:
    symbol = instrument.symbol
    names = (instrument.kite_tradingsymbol, instrument.yahoo_ticker, instrument.alpha_vantage_ticker)
    yield from (name.upper() for name in (symbol, *names, f"{symbol}.NS", f"{symbol}-EQ"))
