"""One build of all the real data, for every test on it."""

from datetime import date
from pathlib import Path

import pytest

from extract.sources.nse import archive_files
from tests.conftest import Pipeline
from tests.real_bars.importer import SHARED_DATA, import_real_bars


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, warehouse_dir: Path) -> Pipeline:
    """The 794,053 real bars, Yahoo's actions and the exchange's files, in a dataset of their own."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real market data is not here")
    made = Pipeline(tmp_path_factory.mktemp("real") / "archive", warehouse_dir, "real_bars")
    paths = import_real_bars(made.archive)
    for path in sorted(SHARED_DATA.glob("ind_*.csv")):
        paths += archive_files(made.archive, [path], date.fromisoformat(path.stem[-10:]))
    paths += archive_files(made.archive, [SHARED_DATA / "nse_ca_records_2020_2025.csv"], date(2025, 9, 17))
    assert made.replay().loaded == len(paths)
    made.build()
    return made
