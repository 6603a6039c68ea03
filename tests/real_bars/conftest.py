"""One build of all the real data, for every test on it."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from infra.local.warehouse import running
from tests.conftest import Pipeline, made_once
from tests.real_bars.importer import SHARED_DATA, import_real_bars, taken


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The 794,053 real bars, Yahoo's actions and the exchange's files, built once; all workers ask one warehouse."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real market data is not here")

    def build(folder: Path) -> None:
        with running(folder / "warehouse"):
            made = Pipeline(folder / "archive", folder / "warehouse")
            paths = import_real_bars(made.archive)
            paths += taken(made.archive, *sorted(SHARED_DATA.glob("ind_*.csv")))
            paths += taken(made.archive, SHARED_DATA / "nse_ca_records_2020_2025.csv", as_of=date(2025, 9, 17))
            assert made.replay().loaded == len(paths)
            made.build()

    folder = made_once(tmp_path_factory, "real-bars", build)
    with running(folder / "warehouse"):
        yield Pipeline(folder / "archive", folder / "warehouse")
