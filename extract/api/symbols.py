"""The symbols that a caller may name: in any case, and as the providers write them."""

from difflib import get_close_matches

from extract.api.problems import Refusal
from extract.seeds import known_symbol, listed_instruments


def our_symbol(typed: str) -> str:
    """Our symbol for what a caller has typed; see ``known_symbol``.

    Raises:
        Refusal: 404; it is none of ours. Where it was one before, the text says what it is now.
    """
    try:
        return known_symbol(typed)
    except ValueError as error:
        raise Refusal(404, *_what_it_is_not(typed, str(error))) from error


def _what_it_is_not(typed: str, said: str) -> tuple[str, str]:
    if " now; " in said:
        return "renamed-symbol", f"{said}."
    symbols = [instrument.symbol for instrument in listed_instruments()]
    near = get_close_matches(typed.strip().upper(), symbols, 1)
    meant = f"; did you mean {near[0]}?" if near else "."
    return "unknown-symbol", f"{typed.strip()} is not among the symbols{meant}"
