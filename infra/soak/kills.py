"""Runs that are killed at any moment."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from infra.soak.outcome import Outcome
from infra.soak.places import Place, differences_between, healed, places, state_of

# The number of episodes at once.
_LANES = 2


def kills(count: int, seed: int, broken: str | None) -> Outcome:
    """Kill runs at every write boundary, and at random moments; run again, and compare with an undisturbed run."""
    outcome = Outcome("kills", broken, seed)
    drawn = random.Random(seed)  # noqa: S311
    with places() as place, ThreadPoolExecutor(_LANES) as lanes:
        clean = place()
        began = time.monotonic()
        run = clean.run()
        assert run.status() == 0, "an undisturbed run failed"
        length, boundaries = time.monotonic() - began, run.write_count()
        expected = state_of(clean)
        assert not expected.wrong, expected.wrong
        # First each boundary once, up to the number of kills; then three random kills for each place.
        singles = drawn.sample(range(1, boundaries + 1), min(count, boundaries))
        plans: list[list[int | float]] = [[number] for number in singles]
        # Plan more than needed, because some kills come after the run has ended.
        while count > boundaries and sum(map(len, plans)) < count * 1.6:
            strikes = [drawn.choice((drawn.randint(1, boundaries), drawn.uniform(0.05, length))) for _ in range(3)]
            plans.append(list(strikes))

        def episode(strikes: list[int | float]) -> tuple[Place, Counter[str], bool]:
            here, told = place(), Counter[str]()
            for strike in strikes:
                if isinstance(strike, int):
                    status = here.run(kill_at=strike, broken=broken).status()
                    told["at a boundary" if status < 0 else "missed"] += 1
                else:
                    struck = here.run(broken=broken)
                    time.sleep(strike)
                    struck.process.kill()
                    told["at an instant" if struck.status() < 0 else "missed"] += 1
            return here, told, healed(here, broken)

        for here, told, is_healed in lanes.map(episode, plans):
            outcome.told += told
            if not is_healed:
                outcome.findings.append("no run ended well after the kills")
            outcome.findings += differences_between(state_of(here), expected)
        outcome.told["boundaries of an undisturbed run"] = boundaries
        outcome.count = outcome.told["at a boundary"] + outcome.told["at an instant"]
    return outcome
