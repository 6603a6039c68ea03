"""What an exercise found."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Outcome:
    """The result of an exercise.

    Attributes:
        exercise: its name.
        broken: the defence that was removed, if any.
        seed: the seed of its random choices.
        count: the number of kills, pairs, leases, faults, answers, payloads, files or requests.
        findings: what was lost, duplicated, orphaned or wrong, a sentence each.
        told: counts by kind.
        seconds: how long it took.
    """

    exercise: str
    broken: str | None
    seed: int
    count: int = 0
    findings: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The result for one line of JSON: the number of findings, and the first ones."""
        return {
            "exercise": self.exercise,
            "broken": self.broken,
            "seed": self.seed,
            "count": self.count,
            "finding_count": len(self.findings),
            "findings": self.findings[:5],
            "told": dict(sorted(self.told.items())),
            "seconds": round(self.seconds, 1),
        }
