"""JSON objects in which no name occurs twice; by default, Python would keep the last of two values under one name."""

from typing import Any


class RepeatedName(ValueError):
    """A name occurs twice in a JSON object, with different values.

    Attributes:
        name: its first forty characters.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name[:40]} comes twice, with different values")
        self.name = name[:40]


def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs: an ``object_pairs_hook`` for ``json.loads``.

    Raises:
        RepeatedName: two pairs have one name and different values.
    """
    kept: dict[str, Any] = {}
    for name, value in pairs:
        if kept.setdefault(name, value) != value:
            raise RepeatedName(name)
    return kept
