import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbt.artifacts.schemas.run import RunExecutionResult
from dbt.cli.main import dbtRunner

from extract.settings import PROJECT_DIR
from extract.warehouse.build import INCREMENTAL_MODELS
from infra.local.emulator import PROJECT
from tests.conftest import Pipeline, copied


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, empty_marts: Path) -> Iterator[Pipeline]:
    """An empty archive, built: every relation exists."""
    folder = tmp_path_factory.mktemp("empty")
    with copied(empty_marts, folder / "warehouse") as warehouse_dir:
        yield Pipeline(folder / "archive", warehouse_dir)


@pytest.fixture(scope="module")
def manifest(built: Pipeline) -> Any:
    """dbt's own description of the project."""
    return json.loads((built.warehouse_dir / "dbt" / "target" / "manifest.json").read_text())


def test_every_unit_test_passes(built: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with built.warehouse() as warehouse:
        for name, value in (built.environment | {"BIGQUERY_EMULATOR_HOST": str(warehouse.address)}).items():
            monkeypatch.setenv(name, value)
        arguments = ["test", "--select", "test_type:unit", "--project-dir", str(PROJECT_DIR)]
        arguments += ["--profiles-dir", str(PROJECT_DIR), "--target-path", str(built.warehouse_dir / "unit")]
        result = dbtRunner().invoke([*arguments, "--log-path", str(built.warehouse_dir / "unit")])
    assert isinstance(result.result, RunExecutionResult)
    outcomes = {node.node.name: node.status for node in result.result.results}
    assert {name: status for name, status in outcomes.items() if status != "pass"} == {}
    assert len(outcomes) >= 8


def test_the_build_knows_every_incremental_model(manifest: Any) -> None:
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    incremental = {node["name"] for node in models if node["config"]["materialized"] == "incremental"}
    assert incremental == set(INCREMENTAL_MODELS)


def test_what_was_merged_is_noted_after_every_merge(manifest: Any) -> None:
    """If a build dies before that, the next one merges the same rows again."""
    parents = manifest["parent_map"]

    def upstream(node: str) -> set[str]:
        return {node}.union(*(upstream(parent) for parent in parents[node] if parent.startswith("model.")))

    nodes = {node["name"]: key for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    windowed = {nodes[name] for name in INCREMENTAL_MODELS if "windowed" in manifest["nodes"][nodes[name]]["tags"]}
    assert nodes["int_bars__counted"] in windowed
    for name in ("scales", "suspect_sessions", "trading_sessions"):
        assert windowed <= upstream(nodes[f"int_{name}__merged"]), name


def test_every_incremental_merge_is_bounded_by_the_window_on_both_sides(manifest: Any) -> None:
    for node in manifest["nodes"].values():
        if node["resource_type"] != "model" or node["config"]["materialized"] != "incremental":
            continue
        assert node["config"]["on_schema_change"] == "fail"
        # A few rows per symbol, and no partitions to leave out.
        if node["name"] in ("int_histories__received", "int_restatements__measured", "int_symbols__traded"):
            continue
        if node["name"] == "int_symbols__served":
            assert "where trade_date >= {{ oldest_window_start() }}" in node["raw_code"]
            continue
        (predicate,) = node["config"]["incremental_predicates"]
        column = node["config"]["partition_by"]["field"]
        if "symbol" not in node["config"]["unique_key"]:
            # A row is of all shares.
            start = r"(\{\{ oldest_window_start\((?:context_days=\d+)?\) \}\})"
            window = re.fullmatch(rf"DBT_INTERNAL_DEST\.{column} >= {start}", predicate)
            assert window, node["name"]
            assert f"trade_date >= {window[1]}" in node["raw_code"].partition("with\n")[2], node["name"]
            continue
        bound = rf"in_window\('DBT_INTERNAL_DEST\.{column}', 'DBT_INTERNAL_DEST\.symbol'(, context_days=\d+)?\)"
        assert re.fullmatch(rf"\{{\{{ {bound} \}}\}}", predicate), node["name"]
        # What is merged is bounded as what it is merged into is: other context is read, and not merged.
        header, _, body = node["raw_code"].partition("with\n")
        (context,) = set(re.findall(r"DBT_INTERNAL_DEST[^)]*?(, context_days=\d+)?\)", header))
        own = rf"\{{\{{ in_window\('[a-z_.]*(trade|ex)_date'(, '[a-z_.]*symbol')?{context}\) \}}\}}"
        assert re.search(own, body), node["name"]


def test_every_relation_and_every_column_of_it_is_described(built: Pipeline, manifest: Any) -> None:
    nodes = [n for n in manifest["nodes"].values() if n["resource_type"] in ("model", "seed")]
    relations = {n["unique_id"]: n for n in [*nodes, *manifest["sources"].values()]}
    assert [name for name, node in relations.items() if not node["description"]] == []
    columns = [(name, column) for name, node in relations.items() for column in node["columns"].values()]
    assert [(name, column["name"]) for name, column in columns if not column["description"]] == []
    # BigQuery, which persist_docs tells them to, takes no longer ones.
    assert [(name, column["name"]) for name, column in columns if len(column["description"]) > 1024] == []
    named = {name: sorted(node["columns"]) for name, node in relations.items()}
    with built.warehouse() as warehouse:
        tables = {
            name: warehouse.client.get_table(f"{node['database']}.{node['schema']}.{node.get('alias', node['name'])}")
            for name, node in relations.items()
        }
    assert named == {name: sorted(field.name for field in table.schema) for name, table in tables.items()}


def test_what_is_read_by_people_has_a_contract(manifest: Any) -> None:
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    files = {path.stem for path in (PROJECT_DIR / "models").rglob("*.sql")}
    assert files == {node["name"] for node in models}
    promised = [n for n in models if n["path"].startswith(("marts/", "quality/", "operations/"))]
    assert promised
    assert all(node["config"]["contract"]["enforced"] for node in promised)


def test_only_staging_reads_sources_and_marts_read_no_staging(manifest: Any) -> None:
    for node in manifest["nodes"].values():
        if node["resource_type"] != "model":
            continue
        folder = Path(node["path"]).parts[0]
        parents = node["depends_on"]["nodes"]
        # The ledger of batches is the operations' own; no provider sent it.
        sources = [p for p in parents if p.startswith("source.") and not p.endswith(".batch_events")]
        assert not sources or folder == "staging", node["name"]
        assert folder != "marts" or not [p for p in parents if ".stg_" in p], node["name"]
        assert node["database"] == PROJECT
