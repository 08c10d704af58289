"""A dataset folder: the tasks of one cluster with dataset.toml, registry.json and trace_evidence.json, replaced as a
whole.

The folder is written beside its place and then exchanged, so that a killed run leaves the old folder or the new one.
Equal content is left alone.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from codex_loop_assets.distill.digest import task_digest
from codex_loop_assets.distill.task import Task, write

SETS_FILE = "sets.json"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def replace_dataset(
    target: Path, name: str, description: str, tasks: Sequence[Task], evidence: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Make `target` hold exactly these tasks; Harbor's digest by task directory name. No task: no folder.

    `evidence` has one JSON-able mapping per task (same order), written to trace_evidence.json.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f"{_scratch_prefix(target)}*"):
        shutil.rmtree(left, ignore_errors=True)  # of a run that was killed
    scratch = _scratch(target)
    try:
        digests = {task.directory: task_digest(write(task, scratch)) for task in tasks}
        _describe(scratch, target, name, description, tasks, digests, evidence)
        if not tasks:
            _remove(target)
        elif not target.exists() or contents(scratch) != contents(target):
            scratch.chmod(0o755)
            _exchange(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return digests


def relocated(folder: Path) -> None:
    """Make a copied dataset's registry.json name the tasks where they lie now: it holds absolute paths, and would lead back to the
    folder that it was copied from."""
    path = folder / "registry.json"
    registry = json.loads(path.read_text("utf-8"))
    for entry in registry:
        for task in entry["tasks"]:
            task["path"] = str(folder.resolve() / _directory_of(folder, task["name"]))
    path.write_text(json.dumps(registry, indent=2) + "\n", "utf-8")


def _directory_of(folder: Path, name: str) -> str:
    places = sorted(path.parent for path in folder.rglob("task.toml"))
    return next(
        place.relative_to(folder).as_posix()
        for place in places
        if tomllib.loads((place / "task.toml").read_text("utf-8"))["task"]["name"] == name
    )


def drop_tasks(target: Path, directories: Collection[str]) -> None:
    """Take these tasks (directories relative to the dataset folder) out of it; it becomes what it would be had they never been
    built. A folder that is gone stays so."""
    if not (target / "dataset.toml").is_file():
        return
    document = tomllib.loads((target / "dataset.toml").read_text("utf-8"))["dataset"]
    evidence = json.loads((target / "trace_evidence.json").read_text("utf-8"))
    places = sorted(path.parent.relative_to(target).as_posix() for path in target.rglob("task.toml"))
    left = {task.name: task for task in (_read(target, place) for place in places if place not in directories)}
    told = [item for item in evidence if item["task"] in left]
    tasks = [left[item["task"]] for item in told]
    replace_dataset(target, document["name"], document["description"], tasks, told)


def _read(target: Path, directory: str) -> Task:
    folder = target / directory
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return Task(directory, tomllib.loads(files["task.toml"].decode("utf-8"))["task"]["name"], files)


def _describe(
    folder: Path,
    target: Path,
    name: str,
    description: str,
    tasks: Sequence[Task],
    digests: Mapping[str, str],
    evidence: Sequence[Mapping[str, Any]],
) -> None:
    proof = json.dumps(list(evidence), indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"
    (folder / "trace_evidence.json").write_bytes(proof)
    version = hashlib.sha256("".join(sorted(digests.values())).encode()).hexdigest()[:12]
    registry = [
        {
            "name": name,
            "version": version,
            "description": description,
            "metrics": [],
            "tasks": [{"name": task.name, "path": str(target.resolve() / task.directory)} for task in tasks],
        }
    ]
    (folder / "registry.json").write_text(json.dumps(registry, indent=2) + "\n", "utf-8")
    document = {
        "dataset": {"name": name, "version": version, "description": description},
        "tasks": [{"name": task.name, "digest": digests[task.directory]} for task in tasks],
        "files": [{"path": "trace_evidence.json", "digest": f"sha256:{hashlib.sha256(proof).hexdigest()}"}],
    }
    (folder / "dataset.toml").write_text(tomli_w.dumps(document), "utf-8")


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below the folder, by relative path. What is written into a dataset once its tasks are proven is no
    part of it."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / SETS_FILE
    }


def _scratch_prefix(target: Path) -> str:
    # No cluster's folder name holds a tilde, so that one cluster's leftovers never look like another's.
    return f".{target.name}~"


def _scratch(target: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=_scratch_prefix(target), dir=target.parent))


def _remove(target: Path) -> None:
    if target.exists():
        grave = _scratch(target)
        os.rename(target, grave / "old")
        shutil.rmtree(grave)


def _exchange(new: Path, target: Path) -> None:
    """Put `new` in the place of `target` in one step where the system can, else in two."""
    if not target.exists():
        os.rename(new, target)
        return
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if exchange is not None:
        if exchange(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), str(target))
    grave = _scratch(target)
    os.rename(target, grave / "old")
    os.rename(new, target)
    shutil.rmtree(grave)
