"""What the real gcloud says of commands, without a network: whether it knows them, and their arguments."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

# In the book and the workflows, what a person or a variable fills in.
_PLACES = re.compile(r"\$\{?[A-Za-z_]+\}?|\b[A-Z][A-Z_]{2,}\b")


def refused_commands(commands: Iterable[Sequence[str]]) -> list[str]:
    """The commands that gcloud would not take, each with why; the test is skipped where gcloud is not installed.

    Its hidden `gcloud meta lint-gcloud-commands` looks at words and flags alone, and asks nobody.
    """
    lines = sorted({shlex.join(_PLACES.sub("example-dev", word) for word in command) for command in commands})
    if (gcloud := shutil.which("gcloud")) is None:
        pytest.skip("gcloud is not installed, so its commands are not checked")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "commands.md"
        file.write_text("```sh\n" + "\n".join(lines) + "\n```\n")
        done = subprocess.run(
            [
                gcloud,
                "meta",
                "lint-gcloud-commands",
                f"--commands-text-file={file}",
                "--format=json(command_string,success,error_message)",
            ],
            env={**os.environ, "CLOUDSDK_CONFIG": folder, "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    read = json.JSONDecoder().raw_decode(done.stdout)[0]
    # Each has been looked at, or nothing was.
    assert len(read) >= len(lines), (lines, done.stdout[-2000:], done.stderr[-2000:])
    return [f"{one['command_string']}: {one['error_message']}" for one in read if not one["success"]]
