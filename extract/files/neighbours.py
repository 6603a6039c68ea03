"""Files of the NSE and the BSE that people keep beside the daily record: recognized, and not imported."""

from collections.abc import Sequence

from extract.files.kind import plain_heading

# A kind of file, with the headings that show it.
_NEIGHBOURS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"instrument", "expirydt", "openint"}), "a daily record of derivatives (F&O)"),
    (frozenset({"indexname", "closingindexvalue"}), "a daily record of indices"),
    (frozenset({"sccode", "scname"}), "a daily record of the BSE"),
    (frozenset({"security", "prevclpr"}), "a market summary of the exchange's PR zip"),
    (frozenset({"recordtype", "nameofsecurity"}), "a list of deliveries (MTO)"),
    (frozenset({"clientname", "buysell"}), "a list of bulk or block deals"),
    (frozenset({"symbol", "dateoflisting"}), "a list of the exchange's securities"),
)


def neighbour(headings: Sequence[str | None]) -> str | None:
    """What a file that is not imported is, by its headings; None if the kind is unknown."""
    plain = {plain_heading(heading or "") for heading in headings}
    return next((name for signs, name in _NEIGHBOURS if signs <= plain), None)
