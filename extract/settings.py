"""Every setting of the pipeline, read from the environment in one place. extract/README.md lists them in a table."""

import re
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from extract.errors import ConfigurationError
from extract.variables import Variables, archive_uri, folder

# The folder that holds dbt_project.yml, models/, seeds/: the checkout on a laptop, /app in the container.
PROJECT_DIR = Path(__file__).parents[1]

KITE_IS_NOT_CONFIGURED = "Kite is not configured: set KITE_API_KEY, and KITE_API_SECRET to log in"

_LONGEST_IDLE = 365 * 86_400.0


def past_proxies(environment: MutableMapping[str, str]) -> None:
    """Let servers on this machine, such as the embedded warehouse, be reached without the environment's proxies."""
    names = ("no_proxy", "NO_PROXY")
    # Some programs read the one variable and some the other, so both get the same value.
    hosts = [host.strip() for name in names for host in environment.get(name, "").split(",") if host.strip()]
    past = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost", "::1"]))
    environment.update(dict.fromkeys(names, past))


def require_project() -> None:
    """Check that the models and seeds are beside the code.

    Raises:
        ConfigurationError: they are not.
    """
    if not (PROJECT_DIR / "dbt_project.yml").is_file():
        raise ConfigurationError(
            f"{PROJECT_DIR} has no dbt_project.yml: the models and seeds are not part of a plain `pip install .`; run"
            " `make setup` in the checkout, or `pip install -e .` there"
        )


@dataclass(frozen=True, slots=True)
class KiteSettings:
    """How Kite Connect is reached.

    Attributes:
        api_key: of the app that was registered at developers.kite.trade.
        api_secret: of the same app; only ``kite-login`` needs it.
        access_token: of today's session; None where it is in the token store.
        token_store: where ``kite-login`` puts the day's token: a file, or ``projects/<project>/secrets/<secret>``.
        secret_manager_host: the address of a Secret Manager emulator; if it is set, no credentials are used.
        base_url: a server to use instead of Kite's: scheme, host and port only.
        requests_per_second: the pace of requests for candles; 3 is Kite's limit for a key.
    """

    api_key: str | None
    api_secret: str | None = field(repr=False)
    access_token: str | None = field(repr=False)
    token_store: str
    secret_manager_host: str | None
    base_url: str | None
    requests_per_second: float

    @classmethod
    def read(cls, variables: Variables) -> Self:
        """Read the variables that are Kite's."""
        store = variables.value("KITE_TOKEN_STORE", "~/.config/trading-data/kite-session.json")
        is_secret = re.fullmatch(r"projects/[^/]+/secrets/[A-Za-z0-9_-]+", store)
        if not is_secret and store.startswith("projects/"):
            raise ConfigurationError(
                f"KITE_TOKEN_STORE is {store!r}: use a file, or projects/<project>/secrets/<secret>"
            )
        if not is_secret:
            # If its folder cannot be found, only the command that needs the file fails.
            with suppress(ConfigurationError):
                store = str(folder(store, "KITE_TOKEN_STORE"))
        return cls(
            api_key=variables.optional("KITE_API_KEY"),
            api_secret=variables.optional("KITE_API_SECRET"),
            access_token=variables.optional("KITE_ACCESS_TOKEN"),
            token_store=store,
            secret_manager_host=variables.server("SECRET_MANAGER_EMULATOR_HOST"),
            base_url=variables.server("KITE_BASE_URL"),
            requests_per_second=variables.pace("KITE_REQUESTS_PER_SECOND", "3"),
        )

    @property
    def is_configured(self) -> bool:
        """Whether Kite is used at all. Without a key it is not asked, and no bar is expected from it."""
        return self.api_key is not None


@dataclass(frozen=True, slots=True)
class YahooSettings:
    """How Yahoo Finance is reached.

    Attributes:
        base_url: a server to use instead of Yahoo's.
        requests_per_second: the pace; Yahoo documents no limit, and blocks clients faster than about one a second.
    """

    base_url: str | None
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class AlphaVantageSettings:
    """How Alpha Vantage is reached.

    Attributes:
        api_key: None for no third opinion.
        base_url: a server to use instead of Alpha Vantage's.
        requests_per_day: the budget; 25 is the limit of a free key.
    """

    api_key: str | None = field(repr=False)
    base_url: str | None
    requests_per_day: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one command.

    Attributes:
        project: the Google Cloud project, or None for a warehouse on this machine.
        dataset: the base name of the datasets: raw is ``<dataset>_raw``, the marts are ``<dataset>``.
        location: where BigQuery keeps the datasets.
        emulator_host: the address of a running BigQuery emulator; if it is set, no credentials are used.
        warehouse_dir: the folder of the embedded warehouse, used where neither a project nor an emulator is set.
        warehouse_idle_seconds: how long the embedded warehouse keeps running after the last command.
        archive_uri: the archive: a folder, or ``gs://bucket/prefix``.
        lease_uri: where the records of the lease are kept, under ``leases/``, and the alerts that were sent, under
            ``alerts/``; by default, in the archive.
        symbols: the instruments whose bars are expected, as a person types them; ``ALL`` for all.
        api_token: the token that a caller of the API must send.
        api_authentication: how a caller is checked: by the ``token``, or by the IAM of ``cloud_run`` before the call.
        trigger_job: the Cloud Run job that the API starts, ``projects/<project>/locations/<region>/jobs/<job>``; None
            to start a process on the same machine.
        orders_uri: where the API writes what that job is to fetch: a folder, or ``gs://bucket/prefix``; set where
            ``trigger_job`` is.
        run_url: the address of the Cloud Run API.
        api_triggers_per_hour: how many runs the API starts within an hour at most.
        alert_webhook_url: where alerts are sent, in Slack's format.
        execution: the Cloud Run execution that this process is an attempt of; Cloud Run sets it.
        kite: how Kite Connect is reached.
        yahoo: how Yahoo Finance is reached.
        alpha_vantage: how Alpha Vantage is reached.
    """

    project: str | None
    dataset: str
    location: str
    emulator_host: str | None
    warehouse_dir: Path
    warehouse_idle_seconds: float
    archive_uri: str
    lease_uri: str
    symbols: str
    api_token: str | None = field(repr=False)
    api_authentication: str
    trigger_job: str | None
    orders_uri: str | None
    run_url: str
    api_triggers_per_hour: int
    alert_webhook_url: str | None = field(repr=False)
    execution: str | None
    kite: KiteSettings
    yahoo: YahooSettings
    alpha_vantage: AlphaVantageSettings

    @property
    def is_embedded(self) -> bool:
        """Whether the warehouse is our own server on this machine."""
        return not self.project and not self.emulator_host

    @property
    def place(self) -> str:
        """The name of the warehouse: project and dataset, or the folder of the embedded one."""
        return str(self.warehouse_dir) if self.is_embedded else f"{self.project or 'emulator'}.{self.dataset}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, only_queries: bool = False) -> Self:
        """Read the settings; an empty variable counts as unset.

        Args:
            environment: the variables.
            only_queries: they are for queries alone, which need no archive.

        Raises:
            ConfigurationError: a value cannot be used; the text names the variable and what it may hold.
        """
        variables = Variables(environment)
        value, optional, written = variables.value, variables.optional, variables.written
        emulator_host = optional("BIGQUERY_EMULATOR_HOST")
        if emulator_host and not emulator_host.startswith(("http://", "https://")):
            emulator_host = f"http://{emulator_host}"
        warehouse_dir = folder(value("WAREHOUSE_DIR", str(PROJECT_DIR / ".warehouse")), "WAREHOUSE_DIR")
        archive = archive_uri(value("ARCHIVE_URI", f"{warehouse_dir}-archive"), "ARCHIVE_URI")
        orders = optional("ORDERS_URI")
        idle_seconds = variables.number("WAREHOUSE_IDLE_SECONDS", "600", may_be_zero=True)
        if idle_seconds > _LONGEST_IDLE:
            raise ConfigurationError(f"WAREHOUSE_IDLE_SECONDS is {idle_seconds:g}: use {_LONGEST_IDLE:.0f} or less")
        webhook = optional("ALERT_WEBHOOK_URL")
        if webhook and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", webhook):
            # The message does not quote it: anyone who knows the address can write to the channel.
            raise ConfigurationError("ALERT_WEBHOOK_URL is not an address: use https://, a host and a path")
        settings = cls(
            project=optional("BIGQUERY_PROJECT"),
            dataset=written(
                "BIGQUERY_DATASET",
                r"[A-Za-z_][A-Za-z0-9_]{0,99}",
                "letters, digits and underscores, as BigQuery does",
                default="trading_data",
            ),
            location=value("BIGQUERY_LOCATION", "asia-south1"),
            emulator_host=emulator_host,
            warehouse_dir=warehouse_dir,
            warehouse_idle_seconds=idle_seconds,
            archive_uri=archive,
            lease_uri=archive_uri(value("LEASE_URI", archive), "LEASE_URI"),
            symbols=value("SYMBOLS", "ALL"),
            api_token=optional("API_TOKEN"),
            api_authentication=written("API_AUTHENTICATION", "token|cloud_run", "token, or cloud_run", default="token"),
            trigger_job=written(
                "TRIGGER_JOB",
                r"projects/[^/]+/locations/[^/]+/jobs/[^/]+",
                "projects/<project>/locations/<region>/jobs/<job>",
            )
            or None,
            orders_uri=archive_uri(orders, "ORDERS_URI") if orders else None,
            run_url=variables.server("RUN_API_URL") or "https://run.googleapis.com",
            api_triggers_per_hour=variables.count("API_TRIGGERS_PER_HOUR", "6", "runs"),
            alert_webhook_url=webhook,
            execution=optional("CLOUD_RUN_EXECUTION"),
            kite=KiteSettings.read(variables),
            yahoo=YahooSettings(
                base_url=variables.server("YAHOO_BASE_URL"),
                requests_per_second=variables.pace("YAHOO_REQUESTS_PER_SECOND", "1"),
            ),
            alpha_vantage=AlphaVantageSettings(
                api_key=optional("ALPHA_VANTAGE_API_KEY"),
                base_url=variables.server("ALPHA_VANTAGE_BASE_URL"),
                requests_per_day=variables.count("ALPHA_VANTAGE_REQUESTS_PER_DAY", "25", "requests", at_least=0),
            ),
        )
        _refuse_contradictions(variables, only_queries=only_queries)
        return settings


def _refuse_contradictions(variables: Variables, *, only_queries: bool) -> None:
    """Refuse a pair of variables that contradict each other, or one that lacks its other."""
    value = variables.value
    is_cloud = value("BIGQUERY_PROJECT") and not value("BIGQUERY_EMULATOR_HOST")
    is_kite_used = value("KITE_API_SECRET") or value("KITE_ACCESS_TOKEN")
    contradictions = (
        (
            is_cloud and not value("ARCHIVE_URI") and not only_queries,
            "BIGQUERY_PROJECT is set and ARCHIVE_URI is not: set it to gs://bucket/prefix, so that what"
            " the providers send outlives this machine (or to a folder, if that is what you mean)",
        ),
        (
            value("API_AUTHENTICATION") == "cloud_run" and not value("K_SERVICE"),
            "API_AUTHENTICATION is cloud_run, but this is not a Cloud Run service, so all could call it: use token",
        ),
        (
            value("TRIGGER_JOB") and not value("ORDERS_URI"),
            "TRIGGER_JOB is set and ORDERS_URI is not: set it to where that job reads its orders",
        ),
        (
            is_kite_used and not value("KITE_API_KEY"),
            "KITE_API_SECRET or KITE_ACCESS_TOKEN is set and KITE_API_KEY is not: set it too, or none of them to do"
            " without Kite",
        ),
    )
    for is_wrong, told in contradictions:
        if is_wrong:
            raise ConfigurationError(told)
