"""Every setting of the pipeline, read from the environment in one place. extract/README.md lists them in a table."""

import math
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from extract.errors import ConfigurationError

# The folder that holds dbt_project.yml, models/, seeds/: the checkout on a laptop, /app in the container.
PROJECT_DIR = Path(__file__).parents[1]

KITE_IS_NOT_CONFIGURED = "Kite is not configured: set KITE_API_KEY, and KITE_API_SECRET to log in"

_LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1)(:|/|$)")
_LONGEST_IDLE = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Variables:
    """The environment, in which an empty variable counts as unset."""

    environment: Mapping[str, str]

    def value(self, name: str, default: str = "") -> str:
        """A variable's text, without blanks around it."""
        return self.environment.get(name, "").strip() or default

    def number(self, name: str, default: str, *, may_be_zero: bool = False) -> float:
        """A variable's number.

        Raises:
            ConfigurationError: it is not a number, or not above zero; or below zero, where it may be zero.
        """
        try:
            given = float(self.value(name, default))
        except ValueError:
            given = math.nan
        if not (0 < given < math.inf or (given == 0 and may_be_zero)):
            wanted = "zero, or a number above it" if may_be_zero else "a number above zero"
            raise ConfigurationError(f"{name} is {self.value(name)!r}: use {wanted}")
        return given

    def pace(self, name: str, default: str) -> float:
        """A variable's number of requests a second.

        Raises:
            ConfigurationError: it is not a number, or too large, or so small that one request would wait for an hour.
        """
        given = self.number(name, default)
        if not 1 / 3600 <= given <= 10_000:
            raise ConfigurationError(f"{name} is {self.value(name)!r}: use requests a second, from 0.0003 to 10000")
        return given

    def count(self, name: str, default: str, unit: str, *, at_least: int = 1) -> int:
        """A variable's whole number.

        Raises:
            ConfigurationError: it is not a whole number, or too small, or beyond a million.
        """
        given = self.value(name, default)
        if not re.fullmatch(r"[0-9]{1,7}", given) or not at_least <= int(given) <= 1_000_000:
            raise ConfigurationError(f"{name} is {given!r}: use a whole number of {unit}, {at_least} or more")
        return int(given)


def past_proxies(environment: MutableMapping[str, str]) -> None:
    """Use no proxy of the environment for servers on this machine: the embedded warehouse, an emulator."""
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


def folder(given: str, name: str) -> Path:
    """A folder that a person has named: ``~`` is their home, and a relative path begins at the current folder.

    Args:
        given: as it was typed.
        name: of the setting.

    Raises:
        ConfigurationError: it does not name a folder.
    """
    if (given[0], given[-1]) in (('"', '"'), ("'", "'")) and len(given) > 1:
        # Quotes from a file of settings; a shell would have removed them.
        given = given[1:-1]
    try:
        if "\0" not in given:
            return Path(given).expanduser().absolute()
    except (RuntimeError, FileNotFoundError) as error:
        # There is no home folder, no such user, or the current folder was removed.
        raise ConfigurationError(f"{name} is {given!r}: {error}; write the whole path, from / on") from error
    raise ConfigurationError(f"{name} is {given!r}, which cannot be the name of a folder")


def archive_uri(given: str, name: str) -> str:
    """The address of an archive: ``gs://bucket/prefix``, or the whole path of a folder.

    Args:
        given: as it was typed.
        name: of the setting.

    Raises:
        ConfigurationError: it is neither.
    """
    given = given.strip().strip("\"'")
    if re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", given):
        return given.rstrip("/")
    is_file = given.startswith("file://")
    if not given or (not is_file and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", given)):
        raise ConfigurationError(f"{name} is {given!r}: use a folder, or gs://bucket/prefix")
    path = unquote(urlsplit(given).path) if is_file else given
    return str(folder(path or "/", name))


def _file(given: str) -> str:
    """The path of a file. If its folder cannot be found, only the command that needs the file fails."""
    try:
        return str(folder(given, "KITE_TOKEN_STORE"))
    except ConfigurationError:
        return given


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
        lease_uri: where the records of the lease are kept, under ``leases/``; by default, in the archive.
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

    # One line for each setting, and a refusal for each pair that contradicts itself.
    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, only_queries: bool = False) -> "Settings":  # noqa: C901
        """Read the settings; an empty variable counts as unset.

        Args:
            environment: the variables.
            only_queries: they are for queries alone, which need no archive.

        Raises:
            ConfigurationError: a value cannot be used; the text names the variable and what it may hold.
        """
        variables = Variables(environment)
        value, number = variables.value, variables.number

        def url(name: str) -> str | None:
            given = value(name)
            if given and not re.fullmatch(r"https?://[^/\s@]+/?", given):
                raise ConfigurationError(f"{name} is {given!r}: use http:// or https://, a host, and a port if needed")
            if given and value("CLOUD_RUN_EXECUTION") and not _LOOPBACK.match(given):
                # A person who may start the job may set its variables, and could have the keys sent to their server.
                raise ConfigurationError(
                    f"{name} is set in Cloud Run, where keys go to their providers alone: unset it"
                )
            return given.rstrip("/") or None

        dataset = value("BIGQUERY_DATASET", "trading_data")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", dataset):
            raise ConfigurationError(
                f"BIGQUERY_DATASET is {dataset!r}: use letters, digits and underscores, as BigQuery does"
            )
        emulator_host = value("BIGQUERY_EMULATOR_HOST") or None
        if emulator_host and not emulator_host.startswith(("http://", "https://")):
            emulator_host = f"http://{emulator_host}"
        project = value("BIGQUERY_PROJECT") or None
        warehouse_dir = folder(value("WAREHOUSE_DIR", str(PROJECT_DIR / ".warehouse")), "WAREHOUSE_DIR")
        archive = archive_uri(value("ARCHIVE_URI", f"{warehouse_dir}-archive"), "ARCHIVE_URI")
        token_store = value("KITE_TOKEN_STORE", "~/.config/trading-data/kite-session.json")
        is_secret = re.fullmatch(r"projects/[^/]+/secrets/[A-Za-z0-9_-]+", token_store)
        if not is_secret and token_store.startswith("projects/"):
            raise ConfigurationError(
                f"KITE_TOKEN_STORE is {token_store!r}: use a file, or projects/<project>/secrets/<secret>"
            )
        if project and not emulator_host and not value("ARCHIVE_URI") and not only_queries:
            raise ConfigurationError(
                "BIGQUERY_PROJECT is set and ARCHIVE_URI is not: set it to gs://bucket/prefix, so that what"
                " the providers send outlives this machine (or to a folder, if that is what you mean)"
            )
        authentication = value("API_AUTHENTICATION", "token")
        if authentication not in ("token", "cloud_run"):
            raise ConfigurationError(f"API_AUTHENTICATION is {authentication!r}: use token, or cloud_run")
        if authentication == "cloud_run" and not value("K_SERVICE"):
            raise ConfigurationError(
                "API_AUTHENTICATION is cloud_run, but this is not a Cloud Run service, so all could call it: use token"
            )
        trigger_job = value("TRIGGER_JOB") or None
        if trigger_job and not re.fullmatch(r"projects/[^/]+/locations/[^/]+/jobs/[^/]+", trigger_job):
            raise ConfigurationError(
                f"TRIGGER_JOB is {trigger_job!r}: use projects/<project>/locations/<region>/jobs/<job>"
            )
        if trigger_job and not value("ORDERS_URI"):
            raise ConfigurationError(
                "TRIGGER_JOB is set and ORDERS_URI is not: set it to where that job reads its orders"
            )
        idle_seconds = number("WAREHOUSE_IDLE_SECONDS", "600", may_be_zero=True)
        if idle_seconds > _LONGEST_IDLE:
            raise ConfigurationError(f"WAREHOUSE_IDLE_SECONDS is {idle_seconds:g}: use {_LONGEST_IDLE:.0f} or less")
        webhook = value("ALERT_WEBHOOK_URL")
        if webhook and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", webhook):
            # The message does not quote it: anyone who knows the address can write to the channel.
            raise ConfigurationError("ALERT_WEBHOOK_URL is not an address: use https://, a host and a path")
        if (value("KITE_API_SECRET") or value("KITE_ACCESS_TOKEN")) and not value("KITE_API_KEY"):
            raise ConfigurationError(
                "KITE_API_SECRET or KITE_ACCESS_TOKEN is set and KITE_API_KEY is not: set it too, or none of them to do"
                " without Kite"
            )
        return cls(
            project=project,
            dataset=dataset,
            location=value("BIGQUERY_LOCATION", "asia-south1"),
            emulator_host=emulator_host,
            warehouse_dir=warehouse_dir,
            warehouse_idle_seconds=idle_seconds,
            archive_uri=archive,
            lease_uri=archive_uri(value("LEASE_URI", archive), "LEASE_URI"),
            symbols=value("SYMBOLS", "ALL"),
            api_token=value("API_TOKEN") or None,
            api_authentication=authentication,
            trigger_job=trigger_job,
            orders_uri=archive_uri(value("ORDERS_URI"), "ORDERS_URI") if value("ORDERS_URI") else None,
            run_url=url("RUN_API_URL") or "https://run.googleapis.com",
            api_triggers_per_hour=variables.count("API_TRIGGERS_PER_HOUR", "6", "runs"),
            alert_webhook_url=webhook or None,
            execution=value("CLOUD_RUN_EXECUTION") or None,
            kite=KiteSettings(
                api_key=value("KITE_API_KEY") or None,
                api_secret=value("KITE_API_SECRET") or None,
                access_token=value("KITE_ACCESS_TOKEN") or None,
                token_store=token_store if is_secret else _file(token_store),
                secret_manager_host=url("SECRET_MANAGER_EMULATOR_HOST"),
                base_url=url("KITE_BASE_URL"),
                requests_per_second=variables.pace("KITE_REQUESTS_PER_SECOND", "3"),
            ),
            yahoo=YahooSettings(
                base_url=url("YAHOO_BASE_URL"), requests_per_second=variables.pace("YAHOO_REQUESTS_PER_SECOND", "1")
            ),
            alpha_vantage=AlphaVantageSettings(
                api_key=value("ALPHA_VANTAGE_API_KEY") or None,
                base_url=url("ALPHA_VANTAGE_BASE_URL"),
                requests_per_day=variables.count("ALPHA_VANTAGE_REQUESTS_PER_DAY", "25", "requests", at_least=0),
            ),
        )
