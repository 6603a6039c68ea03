"""Every setting of the pipeline, read from the environment in one place. The README lists them in a table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from extract.errors import ConfigurationError

# The folder that holds dbt_project.yml, models/, seeds/: the checkout on a laptop, /app in the container.
PROJECT_DIR = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one command.

    Attributes:
        project: the Google Cloud project, or None for a warehouse on this machine.
        dataset: the base name of the datasets: raw is ``<dataset>_raw``, the marts are ``<dataset>``.
        location: where BigQuery keeps the datasets.
        emulator_host: the address of a running BigQuery emulator; set, no credentials are used.
        warehouse_dir: the folder of the embedded warehouse, used where neither a project nor an emulator is set.
        archive_uri: the archive: a folder, or ``gs://bucket/prefix``.
    """

    project: str | None
    dataset: str
    location: str
    emulator_host: str | None
    warehouse_dir: Path
    archive_uri: str

    @property
    def is_embedded(self) -> bool:
        """True where the warehouse is our own server on this machine."""
        return not self.project and not self.emulator_host

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings; an empty variable counts as unset.

        Raises:
            ConfigurationError: a value cannot be used; the text names the variable and what it may hold.
        """

        def value(name: str, default: str = "") -> str:
            return environment.get(name, "").strip() or default

        dataset = value("BIGQUERY_DATASET", "trading_data")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", dataset):
            raise ConfigurationError(
                f"BIGQUERY_DATASET is {dataset!r}: use letters, digits and underscores, as BigQuery does"
            )
        emulator_host = value("BIGQUERY_EMULATOR_HOST") or None
        if emulator_host and not emulator_host.startswith(("http://", "https://")):
            emulator_host = f"http://{emulator_host}"
        project = value("BIGQUERY_PROJECT") or None
        warehouse_dir = Path(value("WAREHOUSE_DIR", str(PROJECT_DIR / ".warehouse"))).expanduser().absolute()
        archive_uri = value("ARCHIVE_URI", f"{warehouse_dir}-archive")
        if "://" in archive_uri and not archive_uri.startswith(("gs://", "file://")):
            raise ConfigurationError(f"ARCHIVE_URI is {archive_uri!r}: use a folder, or gs://bucket/prefix")
        if project and not emulator_host and not archive_uri.startswith("gs://") and not value("ARCHIVE_URI"):
            raise ConfigurationError(
                "BIGQUERY_PROJECT is set and ARCHIVE_URI is not: set it to gs://bucket/prefix, so that what"
                " the providers send outlives this machine (or to a folder, if that is what you mean)"
            )
        return cls(
            project=project,
            dataset=dataset,
            location=value("BIGQUERY_LOCATION", "asia-south1"),
            emulator_host=emulator_host,
            warehouse_dir=warehouse_dir,
            archive_uri=archive_uri,
        )
