"""The symbols in a request: in any case, and as the providers write them."""

from extract.api.problems import Refusal
from extract.errors import ConfigurationError
from extract.symbols import UnknownSymbol, meant
from extract.words import encodable


def our_symbol(typed: str) -> str:
    """Our symbol for the one that a caller has typed; see ``meant``.

    Raises:
        Refusal: 404; it is unknown, or means several. A former symbol is refused too, and the text gives the new one,
            so that each share has one address.
    """
    try:
        # JSON can hold half a character, which no answer can.
        found = meant(encodable(typed))
    except UnknownSymbol as error:
        end = "" if error.hint.endswith("?") else "."
        raise Refusal(404, "unknown-symbol", f"{error.word} is not among the symbols{error.hint}{end}") from error
    except ConfigurationError as error:
        raise Refusal(404, "unknown-symbol", f"{error}.") from error
    if len(found.instruments) != 1:
        raise Refusal(404, "unknown-symbol", f"{typed.strip()} is not one symbol.")
    if found.notes:
        raise Refusal(404, "renamed-symbol", f"{found.notes[0]}; ask for that instead.")
    return found.instruments[0].symbol
