"""Tasks that lie about in folders, put together into one dataset. Which tasks are good is not judged here."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codex_loop_assets.distill.dataset import replace_dataset
from codex_loop_assets.distill.task import Task, slug


class NoDataset(ValueError):
    """A folder is no task, or two tasks would take one place; the message says which."""


def collect(folders: Sequence[Path], output: Path, organisation: str) -> list[tuple[Task, dict[str, Any]]]:
    """Copy task folders into the dataset folder `output` and describe them; each task with its metadata, by folder.

    Writes dataset.toml, registry.json and trace_evidence.json (a list of `{"task": name, "metadata": its task.toml
    metadata}`). Raises NoDataset, and then writes nothing.
    """
    read = sorted((_read(folder, organisation) for folder in folders), key=lambda found: found[0].directory)
    tasks = [task for task, _ in read]
    for key in ("directory", "name"):
        values = [getattr(task, key) for task in tasks]
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            raise NoDataset(f"more than one task with the {key} {', '.join(repeated)}")
    evidence = [{"task": task.name, "metadata": metadata} for task, metadata in read]
    name = f"{organisation}/{slug(output.resolve().name, 60)}"
    replace_dataset(output, name, f"{len(tasks)} tasks put together from folders", tasks, evidence)
    return read


def _read(folder: Path, organisation: str) -> tuple[Task, dict[str, Any]]:
    try:
        document = tomllib.loads((folder / "task.toml").read_text("utf-8"))
    except FileNotFoundError:
        raise NoDataset(f"{folder} is no task: it holds no task.toml") from None
    except (OSError, ValueError) as error:
        raise NoDataset(f"{folder / 'task.toml'}: {error}") from error
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            # It would be followed, and could bring any file of this machine into the dataset.
            raise NoDataset(f"{path} is a symbolic link; a task holds its files itself")
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    directory = folder.resolve().name
    stated = document.get("task")
    name = stated.get("name") if isinstance(stated, dict) else None
    return Task(directory, name or f"{organisation}/{slug(directory)}", files), document.get("metadata") or {}
