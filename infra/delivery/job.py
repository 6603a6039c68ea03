"""Delivery of the Cloud Run job, which has no traffic to divide: a candidate builds marts, and they are compared.

The candidate job loads the live archive into a dataset of its own. Where its marts are the live ones, row for row, the
live job gets the image. The image before it stays in the job's annotations.
"""

import uuid
from collections.abc import Collection

import structlog

from extract.errors import ConfigurationError, PipelineError
from infra.delivery.google_api import GoogleApi, Json

# What a reader of the marts sees; all of it comes from the archive alone.
COMPARED_TABLES = (
    "fct_daily_bars",
    "fct_daily_bar_revisions",
    "fct_corporate_actions",
    "dim_instruments",
    "dim_trading_sessions",
    "daily_bars",
)

# Annotations of the live job, since a label cannot hold a digest.
PREVIOUS = "previous-image"
REJECTED = "rejected-image"

# A comparison reads all columns of a table twice.
_QUERY_SECONDS = 600.0


class JobDelivery:
    """Delivers releases of one job, and takes them back."""

    def __init__(self, api: GoogleApi) -> None:
        self._api = api
        settings = api.settings
        jobs = f"{settings.run_url}/v2/{settings.parent}/jobs"
        self._live = f"{jobs}/{settings.job}"
        self._candidate = f"{jobs}/{settings.candidate_job}"
        self._log = structlog.get_logger().bind(job=settings.job)

    def deliver(self, image: str, accepted: Collection[str] = ()) -> None:
        """Try an image on the live archive, and give it to the live job where its marts are the live ones.

        Args:
            image: named by its digest.
            accepted: the tables that a person allows to differ.

        Raises:
            PipelineError: the candidate failed, or its marts differ; the live job is as it was.
            ConfigurationError: the archive is not set.
            SourceUnavailable: Google's interfaces cannot be reached.
            SourceRefused: they refuse.
        """
        archive = self._api.settings.archive_uri
        if archive is None:
            raise ConfigurationError("ARCHIVE_URI is not set: set it to the live archive, gs://bucket/prefix")
        if _image_of(self._api.settled(self._live)) == image:
            self._log.info("already delivered", image=image)
            return
        seen = self._resting(self._live)
        self._api.persist(lambda: self._set_image(self._candidate, image))
        self._try(image, archive)
        differing = self._differing_tables()
        if refused := [table for table in differing if table not in accepted]:
            # A live run that came in between has changed what the candidate was compared with.
            hint = (
                "the live job ran meanwhile, so run the same command again"
                if self._resting(self._live) - seen
                else "look at them in both datasets; if the change is meant, run again with --accept-changes TABLE,..."
            )
            raise PipelineError(f"the candidate's marts differ from the live ones in {', '.join(refused)}: {hint}")
        if differing:
            self._log.warning("accepted changes", tables=differing)
        self._api.persist(lambda: self._set_image(self._live, image))
        self._log.info("delivered", image=image)

    def roll_back(self) -> None:
        """Give the live job the image that it had before.

        Raises:
            PipelineError: it is not known.
            SourceUnavailable: Google's interfaces cannot be reached.
            SourceRefused: they refuse.
        """
        self._api.persist(self._swap_back)

    def _swap_back(self) -> None:
        job = self._api.settled(self._live)
        annotations = dict(job.get("annotations", {}))
        previous = annotations.pop(PREVIOUS, None)
        if previous is None:
            if rejected := annotations.get(REJECTED):
                self._log.info("already rolled back", image=_image_of(job), rejected=rejected)
                return
            raise PipelineError(
                f"{self._api.settings.job} does not tell which image it had before; deliver one by its digest"
            )
        annotations[REJECTED] = _image_of(job)
        self._replace(self._live, job, previous, annotations)
        self._log.info("rolled back", image=previous, rejected=annotations[REJECTED])

    def _set_image(self, url: str, image: str) -> None:
        job = self._api.settled(url)
        former = _image_of(job)
        if former == image:
            return
        annotations = dict(job.get("annotations", {}))
        if url == self._live:
            annotations.pop(REJECTED, None)
            annotations[PREVIOUS] = former
        self._replace(url, job, image, annotations)

    def _replace(self, url: str, job: Json, image: str, annotations: Json) -> None:
        # A job takes no update mask: it is sent whole, and the etag refuses it where somebody has changed it since.
        tasks = job["template"]["template"]
        first, *others = tasks["containers"]
        template = job["template"] | {"template": tasks | {"containers": [first | {"image": image}, *others]}}
        body = job | {"annotations": annotations, "template": template}
        self._api.wait_for(self._api.send("PATCH", url, body))

    def _try(self, image: str, archive: str) -> None:
        """Let the candidate load the archive and build its marts.

        Raises:
            PipelineError: it failed.
        """
        self._resting(self._candidate, other_than=image)
        name = self._api.persist(lambda: self._started(image, archive))
        self._log.info("trying", execution=name)
        deadline = self._api.clock() + self._api.settings.execution_bound
        url = f"{self._api.settings.run_url}/v2/{name}"
        while not _is_over(execution := self._api.get(url)):
            if self._api.clock() >= deadline:
                raise PipelineError(
                    f"{name} did not end within {self._api.settings.execution_bound:g} s: cancel it, read its log"
                )
            self._api.sleep(self._api.settings.poll_seconds)
        if not _has_succeeded(execution):
            raise PipelineError(f"{name} failed; read its log: {execution.get('logUri', 'in the console')}")

    def _started(self, image: str, archive: str) -> str:
        """The execution of this image that is on its way, started now where there is none."""
        for execution in self._executions(self._candidate):
            if not _is_over(execution) and execution["template"]["containers"][0]["image"] == image:
                return str(execution["name"])
        override = {
            "args": ["replay", "--archive", archive],
            "env": [{"name": "BIGQUERY_DATASET", "value": self._api.settings.candidate_dataset}],
        }
        body = {"overrides": {"containerOverrides": [override]}}
        return str(self._api.send("POST", f"{self._candidate}:run", body)["metadata"]["name"])

    def _resting(self, url: str, *, other_than: str | None = None) -> frozenset[str]:
        """The names of a job's executions, once none is on its way, or none but those of an image."""
        deadline = self._api.clock() + self._api.settings.execution_bound
        while True:
            executions = self._executions(url)
            busy = [
                execution["name"]
                for execution in executions
                if not _is_over(execution) and execution["template"]["containers"][0]["image"] != other_than
            ]
            if not busy:
                return frozenset(str(execution["name"]) for execution in executions)
            if self._api.clock() >= deadline:
                raise PipelineError(f"{', '.join(busy)} did not end; cancel it or wait for it, then run again")
            self._api.sleep(self._api.settings.poll_seconds)

    def _executions(self, url: str) -> list[Json]:
        found: list[Json] = []
        page: dict[str, str] = {}
        while True:
            answer = self._api.get(f"{url}/executions", pageSize="100", **page)
            found += answer.get("executions", [])
            if not answer.get("nextPageToken"):
                return found
            page = {"pageToken": answer["nextPageToken"]}

    def _differing_tables(self) -> list[str]:
        differing = []
        for table in COMPARED_TABLES:
            live, candidate = self._digests(table)
            self._log.info("compared", table=table, live=live, candidate=candidate)
            if live != candidate:
                differing.append(table)
        return differing

    def _digests(self, table: str) -> tuple[list[str], list[str]]:
        settings = self._api.settings
        answered = self._query(
            comparison(
                table, f"{settings.project}.{settings.dataset}", f"{settings.project}.{settings.candidate_dataset}"
            )
        )
        sides = {side: rest for side, *rest in ([cell["v"] for cell in row["f"]] for row in answered)}
        return sides["live"], sides["candidate"]

    def _query(self, sql: str) -> list[Json]:
        settings = self._api.settings
        url = f"{settings.bigquery_url}/bigquery/v2/projects/{settings.project}/queries"
        body = {
            "query": sql,
            "useLegacySql": False,
            "useQueryCache": False,
            "location": settings.location,
            "timeoutMs": 20_000,
            # By it BigQuery knows a repeated request.
            "requestId": uuid.uuid4().hex,
        }
        answer = self._api.persist(lambda: self._api.send("POST", url, body))
        deadline = self._api.clock() + _QUERY_SECONDS
        while not answer["jobComplete"]:
            job = answer["jobReference"]
            if self._api.clock() >= deadline:
                raise PipelineError(f"BigQuery's job {job['jobId']} did not end within {_QUERY_SECONDS:g} s; run again")
            self._api.sleep(settings.poll_seconds)
            answer = self._api.get(f"{url}/{job['jobId']}", location=job["location"], timeoutMs="20000")
        rows: list[Json] = answer["rows"]
        return rows


def comparison(table: str, live: str, candidate: str) -> str:
    """The statement that digests a table of two datasets: the number of rows, and a checksum that knows no order.

    Two equal rows would cancel each other in the checksum; the tables have tests of their grain, which allow none.
    """
    return " union all ".join(
        f"select '{side}' as side, count(*) as row_count, bit_xor(farm_fingerprint(to_json_string(t))) as checksum"
        f" from `{dataset}.{table}` as t"
        for side, dataset in (("live", live), ("candidate", candidate))
    )


def _image_of(job: Json) -> str:
    return str(job["template"]["template"]["containers"][0]["image"])


def _is_over(execution: Json) -> bool:
    return bool(execution.get("completionTime"))


def _has_succeeded(execution: Json) -> bool:
    return any(c["type"] == "Completed" and c["state"] == "CONDITION_SUCCEEDED" for c in execution["conditions"])
