"""The same code against ``gs://``: the strict server of ``infra/doubles/bucket.py``."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extract.api.orders import Orders, new_order
from extract.errors import AlreadyRunning, PipelineError
from extract.landing.archive import Archive
from extract.landing.lease import held
from extract.landing.raw import KITE_DAILY_BARS
from extract.settings import PROJECT_DIR
from infra.doubles.bucket import Bucket, key_file
from infra.doubles.loopback import serving
from tests.conftest import Pipeline, write_bars
from tests.extract.test_archive import BAR, NOON, PATH
from tests.reports.conftest import Webhook


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with serving(Bucket()) as server:
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", key_file(server.address, tmp_path / "key.json"))
        yield server


def test_a_batch_goes_into_a_bucket_and_comes_back(bucket: Bucket) -> None:
    archive = Archive("gs://prices/daily")
    assert write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR) == PATH
    assert list(bucket.objects) == [f"daily/{PATH}"]
    # Another archive in the same bucket is none of ours.
    bucket.objects[f"other/{PATH}"] = b""
    assert archive.paths() == [PATH]
    assert archive.read(PATH).rows.num_rows == 1


@pytest.mark.usefixtures("bucket")
def test_writing_again_sends_no_replacement() -> None:
    archive = Archive("gs://prices/daily")
    write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR)
    write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR)
    with pytest.raises(PipelineError, match="already holds another batch"):
        write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR | {"close": 101.0})
    assert archive.read(PATH).rows["close"].to_pylist() == [100.0]


def test_a_refusal_is_told_with_the_bucket(bucket: Bucket) -> None:
    bucket.refuses_all = True
    with pytest.raises(PipelineError, match="the archive gs://prices/daily cannot be written"):
        write_bars(Archive("gs://prices/daily"), KITE_DAILY_BARS, "run-1", datetime(2024, 1, 3, tzinfo=UTC), BAR)


@pytest.mark.parametrize("fault", ["is_missing", "refuses_all"])
def test_whatever_a_bucket_answers_is_one_sentence(bucket: Bucket, fault: str) -> None:
    setattr(bucket, fault, True)
    archive = Archive("gs://prices/daily")
    for use in (
        archive.paths,
        lambda: archive.folders("leases/"),
        lambda: archive.body("leases/000000/000000001.json"),
        lambda: archive.read(PATH),
        lambda: archive.create("leases/000000/000000001.json", b"{}"),
        lambda: held(archive, "run-a", "run", lambda: NOON).__enter__(),
    ):
        with pytest.raises(PipelineError, match=r"gs://prices/daily\S* cannot be (written|read|listed): \S") as told:
            use()
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("fault", ["is_missing", "refuses_all"])
def test_a_bucket_that_cannot_be_used_ends_the_command_and_tells_a_person(
    bucket: Bucket, pipeline: Pipeline, tmp_path: Path, fault: str
) -> None:
    setattr(bucket, fault, True)
    with serving(Webhook()) as webhook:
        settings = {
            "ARCHIVE_URI": "gs://prices/daily",
            "GOOGLE_SERVICE_ACCOUNT": str(tmp_path / "key.json"),
            "ALERT_WEBHOOK_URL": webhook.url,
        }
        for command in ("run", "replay", "build"):
            done = pipeline.command(command, environment=settings)
            assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    # The first line tells where, which run, and when.
    assert [body["text"].splitlines()[1].partition(" failed")[0] for body in webhook.bodies] == [
        "ERROR: The last run",
        "ERROR: The last replay",
        "ERROR: The last build",
    ]


@pytest.mark.usefixtures("bucket")
def test_the_lease_is_kept_in_a_bucket() -> None:
    archive = Archive("gs://prices/daily")
    for run_id in ("run-a", "run-b"):
        with held(archive, run_id, "run", lambda: NOON), pytest.raises(AlreadyRunning, match=run_id):
            held(archive, "run-x", "run", lambda: NOON).__enter__()
    assert archive.folders("leases/") == ["leases/000000"]
    assert len(list(archive.listed("leases/"))) == 4


def test_a_year_of_runs_and_orders_leaves_the_records_of_a_week(bucket: Bucket) -> None:
    """Two runs and an order a day. The test deletes what Cloud Storage would delete by the rules of archive.tf."""
    terraform = (PROJECT_DIR / "infra" / "terraform" / "archive.tf").read_text()
    (rules,) = re.findall(r"short_lived = \{ (.*) \}", terraform)
    ages = {name: int(days) for name, days in re.findall(r"(\w+) = (\d+)", rules)}
    leases, orders = Archive("gs://prices/leases"), Orders("gs://prices/orders")
    born: dict[str, int] = {}
    kept: list[int] = []
    for day in range(365):
        now = NOON + timedelta(days=day)
        # After ten days in which nothing runs, no record is left.
        if not 200 <= day < 210:
            for run in (f"morning-{day}", f"evening-{day}"):
                with held(leases, run, "run full", lambda at=now: at):  # type: ignore[misc]
                    pass
            order = new_order(now, None, ["TCS"], None)
            orders.add(order)
            assert orders.take(f"execution-{day}", now) == order
        born = {name: born.get(name, day) for name in bucket.objects}
        for name in [name for name, since in born.items() if day - since >= ages[name.partition("/")[0]]]:
            del bucket.objects[name]
        kept.append(len(bucket.objects))
    # A run writes two records, and an order two objects.
    assert max(kept) == kept[-1] == 6 * 7
    assert kept[208] == 0
