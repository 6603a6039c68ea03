"""SQLMesh: an incremental model by unique key, over a table that Google's client loads; its audit wants no null key."""

from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from sqlmesh import Context
from sqlmesh.core.config import Config, GatewayConfig, ModelDefaultsConfig
from sqlmesh.core.config.connection import BigQueryConnectionConfig, DuckDBConnectionConfig
from sqlmesh.core.dialect import parse
from sqlmesh.core.model import load_sql_based_model

from infra.bench.peer import DATASET, KEY, PROJECT, TABLE

# If the Storage API's client is installed, SQLMesh reads through it, from Google's address; without it, by REST.
bigquery.Client._ensure_bqstorage_client = lambda *_, **__: None  # type: ignore[method-assign]

# Of the round alone: with the state of an earlier one, SQLMesh would have nothing to do.
_HOME = Path("sqlmesh-project")

_RECEIVED = f"{DATASET}_received.bars"
_MODEL = f"""
model (
    name {TABLE},
    kind incremental_by_unique_key (unique_key ({", ".join(KEY)})),
    start '2010-01-01',
    audits (not_null(columns := ({", ".join(KEY)})))
);

select symbol, source_id, trade_date, open, high, low, close, volume, extracted_at
from {_RECEIVED}
qualify row_number() over (partition by {", ".join(KEY)} order by extracted_at desc) = 1
"""


def load(path: Path) -> None:
    """Replace the received rows by those of a file, and build a new model from them, as of two days ago."""
    _receive(path)
    context = _context(_HOME)
    context.plan(auto_apply=True, no_prompts=True, execution_time="2 days ago")


def delta(path: Path) -> None:
    """Replace the received rows by the delta, and let the model merge it: the days since its last run are due."""
    _receive(path)
    _context(_HOME).run()


def _receive(path: Path) -> None:
    client = bigquery.Client(PROJECT, AnonymousCredentials())  # type: ignore[no-untyped-call]
    client.create_dataset(f"{DATASET}_received", exists_ok=True)
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
    with path.open("rb") as file:
        client.load_table_from_file(file, f"{PROJECT}.{_RECEIVED}", job_config=config).result()


def _context(project: Path) -> Context:
    project.mkdir(exist_ok=True)
    gateway = GatewayConfig(
        connection=BigQueryConnectionConfig(method="oauth-secrets", token="local", project=PROJECT),  # noqa: S106
        state_connection=DuckDBConnectionConfig(database=str(project / "state.db")),
    )
    config = Config(gateways={"bench": gateway}, model_defaults=ModelDefaultsConfig(dialect="bigquery"))
    context = Context(paths=project, config=config)
    context.upsert_model(load_sql_based_model(parse(_MODEL, default_dialect="bigquery"), dialect="bigquery"))
    return context
