"""The demo deletes nothing of a user's."""

from pathlib import Path

import pytest

from infra.local import demo


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "archive" / "batch.parquet"
    kept.parent.mkdir()
    kept.write_bytes(b"PAR1")
    assert demo.demo(tmp_path) == 2
    assert demo.demo(kept) == 2
    assert "name another folder" in capsys.readouterr().out
    assert kept.read_bytes() == b"PAR1"
