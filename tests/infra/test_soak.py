"""The exercises of ``make soak`` in short, and some of their broken variants, which must not pass."""

import pytest

from infra.soak.exercises import BROKEN, EXERCISES, exercise

SEED = 20241231


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("kills", 4),
        ("pairs", 8),
        ("leases", 5),
        ("faults", 4),
        ("answers", 18),
        ("payloads", 150),
        ("files", 200),
        ("service", 90),
    ],
)
def test_nothing_is_lost_and_nothing_twice(name: str, count: int) -> None:
    outcome = exercise(name, count, SEED)
    assert outcome.findings == []
    assert outcome.count >= count


@pytest.mark.parametrize(
    ("name", "broken", "count"),
    [
        ("pairs", "no_lease", 2),
        ("pairs", "overwriting", 8),
        ("leases", "by_pid", 5),
        ("answers", "unwithdrawn", 18),
        ("payloads", "credulous", 150),
        ("payloads", "unheld", 150),
        ("files", "credulous", 90),
        ("files", "by_table", 30),
        ("service", "unbounded_bodies", 90),
    ],
)
def test_a_defence_that_is_taken_out_is_missed(name: str, broken: str, count: int) -> None:
    # Two processes on a busy machine may follow each other so closely that the fault does not show.
    assert any(exercise(name, count, SEED + attempt, broken).findings for attempt in range(4))


def test_each_exercise_has_variants_that_it_must_catch() -> None:
    assert set(BROKEN) == set(EXERCISES)
    assert all(BROKEN.values())
