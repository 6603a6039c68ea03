#!/usr/bin/env python3
"""``gcloud run`` on a state that lies in a file: what ``deliver.sh`` calls of it, and nothing else.

The file is named by GCLOUD_STATE; it also keeps each command that was given, and which commands are to fail.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

type Json = dict[str, Any]


def main(arguments: list[str]) -> None:
    """Do one command."""
    file = Path(os.environ["GCLOUD_STATE"])
    state: Json = json.loads(file.read_text())
    state["given"].append(arguments)
    words = [word for word in arguments if not word.startswith("--")]
    flags = dict(word.removeprefix("--").partition("=")[::2] for word in arguments if word.startswith("--"))
    fails = any(" ".join(words).startswith(failing) for failing in state["failing"])
    said = None if fails else _do(state, words, flags)
    file.write_text(json.dumps(state))
    if fails:
        sys.exit(f"ERROR: (gcloud.{'.'.join(words[:3])}) refused")
    if said is not None:
        print(said if isinstance(said, str) else json.dumps(said))


def _do(state: Json, words: list[str], flags: dict[str, str]) -> Json | str | None:  # noqa: PLR0912 A branch a command.
    match words:
        case ["auth", "print-access-token" | "print-identity-token"]:
            return words[1]
        case ["run", "jobs", "describe", name]:
            job = state["jobs"][name]
            task = {"spec": {"template": {"spec": {"containers": [{"image": job["image"]}]}}}}
            return {"metadata": {"labels": job["labels"]}, "spec": {"template": task}}
        case ["run", "jobs", "update", name]:
            job = state["jobs"][name]
            job["image"] = flags["image"]
            job["labels"] |= dict(pair.split("=") for pair in flags.get("update-labels", "").split(",") if pair)
            for label in flags.get("remove-labels", "").split(","):
                job["labels"].pop(label, None)
        case ["run", "jobs", "execute", name]:
            state["executed"].append([name, state["jobs"][name]["image"], flags.get("args", "")])
        case ["run", "services", "describe", _]:
            latest = list(state["revisions"])[-1]
            return {"status": {"url": state["url"], "traffic": state["traffic"], "latestReadyRevisionName": latest}}
        case ["run", "revisions", "describe", name]:
            return {"spec": {"containers": [{"image": state["revisions"][name]}]}}
        case ["run", "deploy", _]:
            name = f"revision-{len(state['revisions']) + 1}"
            state["revisions"][name] = flags["image"]
            assert "no-traffic" in flags
            # It would give the revision a name, which Terraform sends again with its next change.
            assert "tag" not in flags
        case ["run", "services", "update-traffic", _] if not flags.keys() & {"to-revisions", "to-tags"}:
            _tag(state, *flags["update-tags"].split("="))
        case ["run", "services", "update-traffic", _]:
            tagged = {entry["tag"]: entry["revisionName"] for entry in state["traffic"] if "tag" in entry}
            to = flags.get("to-revisions") or tagged[flags["to-tags"].split("=")[0]] + "=100"
            for entry in state["traffic"]:
                entry.pop("percent", None)
            state["traffic"] = [
                entry for entry in state["traffic"] if entry.get("tag") not in (None, flags.get("remove-tags"))
            ]
            state["traffic"].append({"revisionName": to.split("=")[0], "percent": 100})
            if "update-tags" in flags:
                _tag(state, *flags["update-tags"].split("="))
        case _:
            raise SystemExit(f"gcloud_double: {' '.join(words)} is not known here")
    return None


def _tag(state: Json, tag: str, revision: str) -> None:
    state["traffic"] = [entry for entry in state["traffic"] if entry.get("tag") != tag]
    state["traffic"].append({"revisionName": revision, "tag": tag, "url": f"{state['url']}/tags/{tag}"})


if __name__ == "__main__":
    main(sys.argv[1:])
