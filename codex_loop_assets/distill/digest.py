"""Harbor's content digest of a task directory, computed without Harbor.

SHA-256 over lines `path NUL sha256(file) LF`, sorted by path, for task.toml, instruction.md, README.md,
trajectory.json and everything under environment/, tests/, solution/ and steps/, without editor and bytecode leftovers.
(Harbor: `Packager.compute_content_hash`.)
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import tomllib
from pathlib import Path

_FILES = ("task.toml", "instruction.md", "README.md", "trajectory.json")
_FOLDERS = ("environment", "tests", "solution", "steps")
_LEFTOVERS = ("*.pyc", ".DS_Store", "*.swp", "*.swo", "*~")


def task_digest(task: Path) -> str:
    """`sha256:<64 hex digits>` of a task directory without a .gitignore of its own."""
    found = [task / name for name in _FILES if (task / name).is_file()]
    found += _in_folders(task)
    outer = hashlib.sha256()
    for path in sorted(found, key=lambda path: path.relative_to(task).as_posix()):
        outer.update(f"{path.relative_to(task).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{outer.hexdigest()}"


def core_digest(task: Path) -> str:
    """`core:<64 hex digits>` of all that an agent, the reference solution and the verifier get to see: words, environment, tests,
    solution and the limits of task.toml, without its name and its provenance.

    A task's provenance names the cluster and the signals that it came from, so its digest changes whenever these do; what real
    runs said about it holds as long as this stays the same.
    """
    document = tomllib.loads((task / "task.toml").read_text("utf-8"))
    limits = {key: value for key, value in document.items() if key not in ("task", "metadata")}
    outer = hashlib.sha256(json.dumps(limits, sort_keys=True).encode())
    found = [task / "instruction.md"] if (task / "instruction.md").is_file() else []
    for path in sorted([*found, *_in_folders(task)], key=lambda path: path.relative_to(task).as_posix()):
        outer.update(f"{path.relative_to(task).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"core:{outer.hexdigest()}"


def _in_folders(task: Path) -> list[Path]:
    return [
        path
        for folder in _FOLDERS
        for path in (task / folder).rglob("*")
        if path.is_file() and not _left_over(path.relative_to(task))
    ]


def _left_over(path: Path) -> bool:
    return "__pycache__" in path.parts or any(fnmatch.fnmatch(path.name, pattern) for pattern in _LEFTOVERS)
