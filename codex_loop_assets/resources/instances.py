"""The home's Dagster instance, opened so that several processes can do it at once.

What belongs here: opening it. What does not: where it lies (DAGSTER_HOME, which `homes` and the command line set), what is
read from it (`run_history`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The instance of DAGSTER_HOME. One process at a time opens it: the first one creates the tables of Dagster's SQLite
    files, and a second one that does so at the same moment fails with "table alembic_version already exists"."""
    with FileLock(Path(os.environ["DAGSTER_HOME"]) / "instance.lock"):
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance
