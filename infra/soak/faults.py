"""Stores that fail: the bucket and the warehouse."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable

from infra.doubles import proxy
from infra.soak.outcome import Outcome
from infra.soak.places import differences_between, healed, places, state_of

_FAULTS = ("unavailable", "hung_up", "lost_answer", "unavailable_after_commit", "conflict_after_commit", "too_fast")


class Faults:
    """Fails the planned requests."""

    def __init__(self, seed: int) -> None:
        """Use ``seed`` for the random choices."""
        self._drawn = random.Random(seed)  # noqa: S311
        self._until_next: list[int] = []
        self._seen = 0
        # The proxies call this from several threads.
        self._lock = threading.Lock()
        self.struck: Counter[str] = Counter()

    def plan(self, count: int, requests: int) -> None:
        """Plan to fail ``count`` of the next ``requests``, at random."""
        self._until_next = sorted(self._drawn.sample(range(requests), count))
        self._seen = 0

    def __call__(self, asked: proxy.Asked, pass_on: Callable[[], proxy.Answered]) -> proxy.Answered | None:
        """Pass a request on, or fail it."""
        with self._lock:
            number, self._seen = self._seen, self._seen + 1
            is_struck = bool(self._until_next) and number >= self._until_next[0]
            if is_struck:
                self._until_next.pop(0)
                is_write = asked.method in ("POST", "PUT")
                kind = self._drawn.choice(_FAULTS if is_write else ("unavailable", "hung_up", "lost_answer"))
                self.struck[f"{kind} {asked.method}"] += 1
        if not is_struck:
            return pass_on()
        if kind == "hung_up":
            return None
        if kind == "lost_answer":
            pass_on()
            return None
        if kind == "too_fast":
            return _refusal(403, "rateLimitExceeded")
        if kind == "unavailable":
            return _refusal(503, "backendError")
        answer = pass_on()
        if kind == "unavailable_after_commit":
            return _refusal(503, "backendError")
        # 412 from the bucket, 409 from a job: as if the first request had succeeded, and its answer had been lost.
        return _refusal(412 if asked.method == "PUT" and "prices" in asked.path else 409, "duplicate", answer)


def _refusal(status: int, reason: str, answer: proxy.Answered | None = None) -> proxy.Answered:
    if answer is not None and answer.status >= 300:
        return answer
    error = {"error": {"code": status, "message": reason, "errors": [{"reason": reason, "message": reason}]}}
    return proxy.Answered(status, [("Content-Type", "application/json")], json.dumps(error).encode())


def faults(count: int, seed: int, broken: str | None) -> Outcome:
    """Let the bucket and the warehouse fail; run again until a run succeeds, and compare."""
    outcome = Outcome("faults", broken, seed)
    strike = Faults(seed)
    strike.plan(0, 0)
    with places(is_faulty=strike) as place:
        clean = place()
        assert clean.run().status() == 0, "an undisturbed run failed"
        requests = strike._seen
        expected = state_of(clean)
        assert not expected.wrong, expected.wrong
        while strike.struck.total() < count:
            here = place()
            strike.plan(4, requests)
            if not healed(here, broken):
                outcome.findings.append("no run ended well after the faults")
            strike.plan(0, 0)
            outcome.findings += differences_between(state_of(here), expected)
        outcome.told += strike.struck
        outcome.told["requests of an undisturbed run"] = requests
        outcome.count = strike.struck.total()
    return outcome
