"""pandas-gbq: pandas deduplicates, and a table is loaded; for the delta, a MERGE that its user writes."""

from pathlib import Path

import pandas as pd
import pandas_gbq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from infra.bench.peer import KEY, PROJECT, TABLE

_CREDENTIALS = AnonymousCredentials()  # type: ignore[no-untyped-call]


def load(path: Path, table: str = TABLE) -> None:
    """Replace a table by the rows of a file, with the latest row of each key."""
    rows = pd.read_parquet(path).sort_values("extracted_at").drop_duplicates(list(KEY), keep="last")
    pandas_gbq.to_gbq(
        rows, table, project_id=PROJECT, credentials=_CREDENTIALS, if_exists="replace", progress_bar=False
    )


def delta(path: Path) -> None:
    """Load the delta into a second table, and merge it."""
    load(path, f"{TABLE}_delta")
    columns = pd.read_parquet(path).columns
    same = " and ".join(f"old.{name} = new.{name}" for name in KEY)
    client = bigquery.Client(PROJECT, _CREDENTIALS)
    client.query_and_wait(
        f"merge {TABLE} as old using {TABLE}_delta as new on {same}"
        f" when matched then update set {', '.join(f'{name} = new.{name}' for name in columns)}"
        f" when not matched then insert ({', '.join(columns)}) values ({', '.join(f'new.{name}' for name in columns)})"
    )
