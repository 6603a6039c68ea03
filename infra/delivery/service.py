"""Blue-green delivery of the Cloud Run service. All that is known of one under way lies in the service's traffic tags.

The tag ``stable`` marks the revision that is trusted, ``candidate`` the one that is being tried, ``previous`` the one
that was stable before. So a delivery that was killed anywhere goes on when it is run again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import structlog

from extract.errors import PipelineError, SourceRefused, SourceUnavailable
from infra.delivery.google_api import GoogleApi, Json

# Shares of the traffic, in percent, that the candidate gets one after the other.
STEPS = (10, 50, 100)

# The service's annotation for the revision that was last taken back; a delivery that succeeds removes it.
REJECTED = "rejected-revision"

_BY_REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
_OURS = frozenset({"stable", "candidate", "previous"})


@dataclass(frozen=True, slots=True)
class Split:
    """How the traffic is divided.

    Attributes:
        stable: the revision that is trusted.
        candidate: the revision that is tried; None where there is none.
        percent: the candidate's share.
        previous: the revision to go back to; None where there is none.
        others: targets without traffic that a person has tagged.
    """

    stable: str
    candidate: str | None = None
    percent: int = 0
    previous: str | None = None
    others: tuple[tuple[str, str], ...] = ()

    def targets(self) -> list[Json]:
        """The split as Cloud Run takes it."""
        shares = [("stable", self.stable, 100 - self.percent)]
        if self.candidate:
            shares.append(("candidate", self.candidate, self.percent))
        if self.previous:
            shares.append(("previous", self.previous, 0))
        shares += [(tag, revision, 0) for tag, revision in self.others]
        return [
            {"type": _BY_REVISION, "revision": revision, "percent": percent, "tag": tag}
            for tag, revision, percent in shares
        ]


def split_of(service: Json) -> Split:
    """Read how a service's traffic is divided.

    Raises:
        PipelineError: it cannot be told which revision is trusted.
    """
    newest = str(service.get("latestReadyRevision", "")).rpartition("/")[2]
    targets = [
        (target.get("tag"), target.get("revision") or newest, target.get("percent", 0))
        for target in service.get("traffic") or [{"percent": 100}]
    ]
    tagged = {tag: revision for tag, revision, _ in targets if tag}
    shares: dict[str, int] = {}
    for _, revision, percent in targets:
        shares[revision] = shares.get(revision, 0) + percent
    whole = next((revision for revision, percent in shares.items() if percent == 100), None)
    stable = tagged.get("stable") or whole
    if not stable:
        raise PipelineError(
            f"the traffic of {service['name']} is divided by {shares}, and no revision has the tag `stable`:"
            " give all of it to the revision that you trust, then run again"
        )
    candidate = tagged.get("candidate")
    if candidate == stable:
        candidate = None
    return Split(
        stable=stable,
        candidate=candidate,
        percent=shares.get(candidate, 0) if candidate else 0,
        previous=tagged.get("previous"),
        others=tuple((tag, revision) for tag, revision in tagged.items() if tag not in _OURS),
    )


class ServiceDelivery:
    """Delivers releases of one service, and takes them back."""

    def __init__(self, api: GoogleApi) -> None:
        self._api = api
        settings = api.settings
        self._url = f"{settings.run_url}/v2/{settings.parent}/services/{settings.service}"
        self._log = structlog.get_logger().bind(service=settings.service)

    def deliver(self, image: str) -> None:
        """Bring an image to all of the traffic, in steps that its health opens.

        Args:
            image: named by its digest.

        Raises:
            PipelineError: it was taken back, and the stable revision has all traffic; or that failed too, and the text
                says what to do.
        """
        # Where it cannot be told which revision is trusted, nothing is touched.
        split_of(self._api.settled(self._url))
        try:
            candidate = self._api.persist(lambda: self._place(image))
            if candidate is None:
                self._log.info("already delivered", image=image)
                return
            split = split_of(self._api.settled(self._url))
            self._gate(split.percent)
            for percent in _steps_after(split.percent):
                self._divide(replace(split, percent=percent))
                self._gate(percent)
            self._divide(Split(stable=candidate, previous=split.stable, others=split.others))
        except (PipelineError, SourceRefused, SourceUnavailable) as error:
            self._log.error("breach", image=image, reason=str(error))
            raise PipelineError(f"{image} was not delivered: {error}. {self._take_back()}") from error
        self._log.info("delivered", image=image, revision=candidate, previous=split.stable)

    def roll_back(self) -> None:
        """Give all traffic to the stable revision where one is being tried, else to the one before it.

        Raises:
            PipelineError: there is nothing to go back to.
            SourceUnavailable: Cloud Run cannot be reached.
            SourceRefused: it refuses.
        """
        service = self._api.settled(self._url)
        split = split_of(service)
        if split.candidate:
            self._divide(replace(split, candidate=None, percent=0), rejected=split.candidate)
            self._log.info("rolled back", revision=split.stable, rejected=split.candidate)
            return
        # Run again after a kill, it must not go back by one more.
        if rejected := service.get("annotations", {}).get(REJECTED):
            self._log.info("already rolled back", revision=split.stable, rejected=rejected)
            return
        if not split.previous:
            raise PipelineError(
                f"{split.stable} has no predecessor to go back to; deliver the image that you want by its digest"
            )
        self._divide(Split(stable=split.previous, others=split.others), rejected=split.stable)
        self._log.info("rolled back", revision=split.previous, rejected=split.stable)

    def _place(self, image: str) -> str | None:
        """Have the image as candidate; None where it is stable already."""
        service = self._api.settled(self._url)
        split = split_of(service)
        if split.candidate and self._image_of(split.candidate) == image:
            return split.candidate
        newest = str(service.get("latestCreatedRevision", "")).rpartition("/")[2]
        # The image alone does not tell: Terraform may have changed the rest of the template since.
        if not split.candidate and newest == split.stable and self._image_of(split.stable) == image:
            return None
        settings = self._api.settings
        name = f"{settings.service}-{image.rpartition(':')[2][:8]}-{int(service['generation']) + 1}"
        first, *others = service["template"]["containers"]
        template = service["template"] | {"revision": name, "containers": [first | {"image": image}, *others]}
        self._log.info("placing", revision=name, image=image, stable=split.stable)
        self._change(service, replace(split, candidate=name, percent=0), template=template)
        return name

    def _divide(self, split: Split, *, rejected: str | None = None) -> None:
        def step() -> None:
            service = self._api.settled(self._url)
            given = service.get("annotations", {})
            annotations = dict(given)
            if split.candidate is None:
                annotations.pop(REJECTED, None)
                annotations |= {REJECTED: rejected} if rejected else {}
            if split_of(service) != split or annotations != given:
                self._change(service, split, annotations=annotations)

        self._log.info("dividing", stable=split.stable, candidate=split.candidate, percent=split.percent)
        try:
            self._api.persist(step)
        except PipelineError:
            # Cloud Run may call a change failed because the newest revision is, which is why it is made.
            if split.candidate or not self._has_all(split.stable):
                raise

    def _take_back(self) -> str:
        """Give all traffic to the stable revision, and say what came of it."""
        try:
            split = split_of(self._api.settled(self._url))
            if split.candidate:
                self._divide(replace(split, candidate=None, percent=0), rejected=split.candidate)
        except (PipelineError, SourceRefused, SourceUnavailable) as error:
            return f"Nor could it be taken back ({error}): run `python -m infra.delivery rollback-service`"
        return f"{split.stable} has all traffic"

    def _has_all(self, revision: str) -> bool:
        statuses = self._api.settled(self._url).get("trafficStatuses", ())
        return any(s.get("revision") == revision and s.get("percent") == 100 for s in statuses)

    def _change(self, service: Json, split: Split, **fields: Json) -> None:
        body = {"etag": service["etag"], "traffic": split.targets(), **fields}
        mask = ",".join(sorted(body.keys() - {"etag"}))
        self._api.wait_for(self._api.send("PATCH", self._url, body, updateMask=mask))

    def _image_of(self, revision: str) -> str:
        found = self._api.get(f"{self._url}/revisions/{revision}")
        return str(found["containers"][0]["image"])

    def _gate(self, percent: int) -> None:
        """Return once the candidate is healthy.

        Raises:
            PipelineError: it is not, within the bound.
        """
        api, settings = self._api, self._api.settings
        service = api.get(self._url)
        uri = next((s.get("uri") for s in service.get("trafficStatuses", ()) if s.get("tag") == "candidate"), None)
        if not uri:
            raise PipelineError(f"Cloud Run gives the candidate of {settings.service} no address")
        deadline = api.clock() + settings.health_bound
        in_a_row, last = 0, "none"
        while in_a_row < settings.healthy_times:
            if api.clock() >= deadline:
                raise PipelineError(
                    f"at {percent} % of the traffic {uri}/ready did not answer 200 {settings.healthy_times} times in a"
                    f" row within {settings.health_bound:g} s; its last answer: {last}{_hint(last)}"
                )
            # A token for the service is one for its tags.
            last = api.health(f"{uri}/ready", service["uri"])
            in_a_row = in_a_row + 1 if last == "200" else 0
            api.sleep(settings.health_interval)
        self._log.info("healthy", percent=percent, uri=uri)


def _steps_after(percent: int) -> Iterator[int]:
    return (step for step in STEPS if step > percent)


def _hint(status: str) -> str:
    return ": set DELIVERY_HEALTH_ACCOUNT to an account that may invoke it" if status in {"401", "403"} else ""
