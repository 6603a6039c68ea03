"""The settings of a delivery, read from the environment in one place."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from extract.errors import ConfigurationError
from extract.settings import Variables

_DIGEST = re.compile(r"[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+@sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
_DATASET = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where a release goes, and how long is waited for what.

    Attributes:
        project: the Google Cloud project.
        region: of Cloud Run.
        service: the service that answers for the data.
        job: the scheduled job.
        candidate_job: the job that tries a release on a dataset of its own.
        dataset: the live marts.
        candidate_dataset: the marts that the candidate builds.
        location: where BigQuery keeps both.
        archive_uri: the live archive; None where only the service is delivered.
        run_url: Cloud Run's Admin API.
        bigquery_url: BigQuery's API.
        iam_credentials_url: the API that makes an identity token for a service account.
        access_token: used instead of the default credentials.
        health_account: the service account that may call the service; None where anybody may.
        poll_seconds: between two looks at what is under way.
        healthy_times: so many healthy answers in a row open the gate.
        health_interval: seconds between two of them.
        health_bound: seconds in which they have to come.
        operation_bound: seconds that a change of a service or job may take.
        execution_bound: seconds that an execution of a job may take.
    """

    project: str
    region: str
    service: str
    job: str
    candidate_job: str
    dataset: str
    candidate_dataset: str
    location: str
    archive_uri: str | None
    run_url: str
    bigquery_url: str
    iam_credentials_url: str
    access_token: str | None = field(repr=False)
    health_account: str | None
    poll_seconds: float
    healthy_times: int
    health_interval: float
    health_bound: float
    operation_bound: float
    execution_bound: float

    @property
    def parent(self) -> str:
        """The project and region, as Cloud Run writes them."""
        return f"projects/{self.project}/locations/{self.region}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Delivery":
        """Read the settings; an empty variable counts as unset.

        Raises:
            ConfigurationError: a value cannot be used; the text names the variable and what it may hold.
        """
        variables = Variables(environment)
        value, number = variables.value, variables.number

        def matching(name: str, default: str, form: re.Pattern[str], meaning: str) -> str:
            given = value(name, default)
            if not form.fullmatch(given):
                raise ConfigurationError(f"{name} is {given!r}: use {meaning}")
            return given

        def resource(name: str, default: str = "") -> str:
            return matching(name, default, _NAME, "lower-case letters, digits and hyphens, as Google Cloud does")

        def dataset(name: str, default: str) -> str:
            return matching(name, default, _DATASET, "letters, digits and underscores, as BigQuery does")

        def url(name: str, default: str) -> str:
            form = re.compile(r"https?://[^/\s]+/?")
            return matching(name, default, form, "https://, a host, and a port if need be").rstrip("/")

        marts, candidates = (
            dataset("BIGQUERY_DATASET", "trading_data"),
            dataset("BIGQUERY_CANDIDATE_DATASET", "trading_data_candidate"),
        )
        if marts == candidates:
            raise ConfigurationError(
                "BIGQUERY_CANDIDATE_DATASET is BIGQUERY_DATASET: the candidate would build over the live marts"
            )
        job, candidate_job = (
            resource("DELIVERY_JOB", "trading-data"),
            resource("DELIVERY_CANDIDATE_JOB", "trading-data-candidate"),
        )
        if job == candidate_job:
            raise ConfigurationError("DELIVERY_CANDIDATE_JOB is DELIVERY_JOB: the live job would try the candidate")
        archive_uri = value("ARCHIVE_URI") or None
        if archive_uri and not re.fullmatch(r"gs://[^/\s]+(/\S*)?", archive_uri):
            raise ConfigurationError(f"ARCHIVE_URI is {archive_uri!r}: use gs://bucket/prefix, which the job can reach")
        return cls(
            project=resource("BIGQUERY_PROJECT"),
            region=resource("DELIVERY_REGION", "asia-south1"),
            service=resource("DELIVERY_SERVICE", "trading-data-api"),
            job=job,
            candidate_job=candidate_job,
            dataset=marts,
            candidate_dataset=candidates,
            location=value("BIGQUERY_LOCATION", "asia-south1"),
            archive_uri=archive_uri,
            run_url=url("RUN_API_URL", "https://run.googleapis.com"),
            bigquery_url=url("BIGQUERY_API_URL", "https://bigquery.googleapis.com"),
            iam_credentials_url=url("IAM_CREDENTIALS_API_URL", "https://iamcredentials.googleapis.com"),
            access_token=value("DELIVERY_ACCESS_TOKEN") or None,
            health_account=value("DELIVERY_HEALTH_ACCOUNT") or None,
            poll_seconds=number("DELIVERY_POLL_SECONDS", "2"),
            healthy_times=math.ceil(number("DELIVERY_HEALTHY_TIMES", "5")),
            health_interval=number("DELIVERY_HEALTH_INTERVAL_SECONDS", "2"),
            health_bound=number("DELIVERY_HEALTH_BOUND_SECONDS", "120"),
            operation_bound=number("DELIVERY_OPERATION_BOUND_SECONDS", "900"),
            execution_bound=number("DELIVERY_EXECUTION_BOUND_SECONDS", "7200"),
        )


def image_by_digest(image: str) -> str:
    """The image, if it is named by its digest.

    Raises:
        ConfigurationError: it is named in another way: a tag may mean another image tomorrow.
    """
    if not _DIGEST.fullmatch(image):
        raise ConfigurationError(f"{image!r} names no image by its digest; write REGISTRY/NAME@sha256:<64 hex digits>")
    return image
