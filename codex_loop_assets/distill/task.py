"""A Harbor task as a value (its files by path), and writing it to disk.

The format is Harbor's task schema 1.4: task.toml, instruction.md, environment/, tests/, solution/. What each file says
is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from codex_loop_assets.distill.instruction import plain
from codex_loop_assets.distill.render import render

SCHEMA_VERSION = "1.4"
_EXECUTABLE = ("tests/test.sh", "solution/solve.sh")


@dataclass(frozen=True)
class Task:
    """One task: directory name, Harbor name (org/name), and its files by path relative to the directory."""

    directory: str
    name: str
    files: Mapping[str, bytes]


def slug(text: str, length: int = 40) -> str:
    """A name safe in Harbor names, directories and image tags: lower-case letters, digits and single hyphens; `task`
    where nothing is left.
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:length].strip("-") or "task"


def configuration(name: str, description: str, metadata: Mapping[str, Any], settings: Mapping[str, Any]) -> bytes:
    """The text of task.toml. Metadata without a value is left out (TOML has no null)."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "task": {"name": name, "description": plain(description)},
        "metadata": {key: _toml(value) for key, value in metadata.items() if value is not None},
        "agent": {"timeout_sec": float(settings["agent_timeout_sec"])},
        "verifier": {"timeout_sec": float(settings["checks"]["timeout_sec"] + 60)},
        "environment": {"build_timeout_sec": float(settings["environment"]["build_timeout_sec"])},
    }
    return tomli_w.dumps(document).encode("utf-8")


def _toml(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    return [_toml(item) for item in value] if isinstance(value, (list, tuple)) else value


def solution_files(patch: bytes, settings: Mapping[str, Any]) -> dict[str, bytes]:
    """The files under solution/."""
    return {"solve.sh": render("solve.sh.jinja", {"workdir": settings["workdir"]}), "solution.patch": patch}


def write(task: Task, parent: Path) -> Path:
    """Write the task's directory under `parent` and return it."""
    target = parent / task.directory
    for path, data in sorted(task.files.items()):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755 if path in _EXECUTABLE else 0o644)
    (target / "environment").mkdir(exist_ok=True)
    return target
