"""The lake: one Parquet file per table and partition, written whole or not at all.

What belongs here: where data lies and how it is replaced. What does not: what the columns mean (`tables.py`).

A partition is validated against its table, written beside its place and renamed over it, so that a reader, or a run
that comes after a kill, sees the old partition or the new one and nothing between. Equal frames give equal bytes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TypeVar

import duckdb
import polars as pl
from filelock import FileLock
from polars.io.plugins import register_io_source

from codex_loop_assets.resources.frame_cache import FrameCache
from codex_loop_assets.tables import TABLES, Table

# A view over an empty glob fails in DuckDB, so each table has one empty partition that no day or cluster can have.
SENTINEL = {"day": "0001-01-01", "cluster": "__none__", "none": "all"}
_MANIFEST = "manifest.json"
_KEY = {"day": "dt", "cluster": "cluster", "none": "snapshot"}
_ROW_GROUP = 50_000  # rows
_FRAMES = FrameCache()

_Frame = TypeVar("_Frame", pl.DataFrame, pl.LazyFrame)


class Lake:
    """Tables under `root` (`<root>/<table>/dt=<day>/part-0.parquet`), `locks` for one writer per table and partition."""

    def __init__(self, root: Path, locks: Path):
        self.root = Path(root)
        self.locks = Path(locks)

    def path(self, table: str, key: str | None = None) -> Path:
        """File of one partition. `key` is the day, the cluster id, or None for a table without partitions."""
        definition = TABLES[table]
        return self.root / table / f"{_KEY[definition.partitioning]}={key or SENTINEL['none']}" / "part-0.parquet"

    def keys(self, table: str) -> list[str]:
        """Partitions that have been written, sorted; the sentinel is not one."""
        definition = TABLES[table]
        prefix = f"{_KEY[definition.partitioning]}="
        found = (entry.name.removeprefix(prefix) for entry in self._directories(table) if entry.name.startswith(prefix))
        return sorted(
            key for key in found if key != SENTINEL[definition.partitioning] or definition.partitioning == "none"
        )

    def has(self, table: str, key: str | None = None) -> bool:
        return self.path(table, key).is_file()

    def read(self, table: str, keys: str | Iterable[str] | None = None) -> pl.DataFrame:
        """Rows of the given partitions (all of them when None) in key order; partitions never written count as empty.

        Files written by an earlier version are read with the columns they have; new columns come back null.
        """
        if TABLES[table].partitioning == "none":
            keys = [SENTINEL["none"]]
        wanted = [keys] if isinstance(keys, str) else self.keys(table) if keys is None else list(keys)
        load = functools.partial(_read, table)
        frames = [_FRAMES.read(path, load) for key in wanted if (path := self.path(table, key)).is_file()]
        return pl.concat(frames) if frames else TABLES[table].empty()

    def scan(self, table: str, key: str) -> pl.LazyFrame:
        """One partition of a table to select from: what is not selected is not read. It stays the partition of now, however
        often it is collected and whoever replaces it meanwhile."""
        try:
            # Opened here, once: by its path it would be opened anew, and be another file, at each collect.
            file = self.path(table, key).open("rb")
        except FileNotFoundError:
            return TABLES[table].empty().lazy()
        found = pl.scan_parquet(file, hive_partitioning=False)
        return _aligned(table, found, found.collect_schema())

    def read_dated(self, table: str, until: str | None = None) -> pl.DataFrame:
        """Rows of a day-partitioned table with the partition's day as the column `dt` (Date), up to and including `until`."""
        keys = [key for key in self.keys(table) if until is None or key <= until]
        frames = [self.read(table, key).with_columns(dt=pl.lit(date.fromisoformat(key))) for key in keys]
        return pl.concat(frames) if frames else TABLES[table].empty().with_columns(dt=pl.lit(None, pl.Date))

    def write(
        self, table: str, key: str | None, frame: pl.DataFrame, inputs: Mapping[str, str | None] | None = None
    ) -> str:
        """Replace one partition with `frame` and return the SHA-256 of the file. Raises ValueError when the frame does
        not fit the table (see Table.conform); then the old partition stays. `inputs` (what it was made from: table or
        other name -> digest or version) are kept beside it and answer `stale`."""
        frame = TABLES[table].conform(frame)
        return self._replace(
            table,
            key,
            lambda file: frame.write_parquet(file, compression="zstd", statistics=True, row_group_size=_ROW_GROUP),
            inputs,
        )

    def write_parts(
        self, table: str, key: str | None, parts: Iterable[pl.DataFrame], inputs: Mapping[str, str | None] | None = None
    ) -> str:
        """The same for a table that is too large for memory: `parts` are frames of the whole, in key order, written as they
        come. The file is that of `write`, byte for byte. Raises ValueError before anything is replaced where a part does not
        fit or comes too early."""
        rows = register_io_source(lambda *_: iter(_in_order(TABLES[table], parts)), schema=TABLES[table].schema)
        return self._replace(table, key, lambda file: _sink(rows, file), inputs)

    def _replace(
        self, table: str, key: str | None, fill: Callable[[Path], object], inputs: Mapping[str, str | None] | None
    ) -> str:
        path = self.path(table, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with self.locked(table, key):
            # Only a killed writer leaves one behind, and it may hold words that somebody wants forgotten.
            for leftover in path.parent.glob(f".{path.name}.*.tmp"):
                leftover.unlink()
            try:
                fill(temporary)
                with temporary.open("rb") as handle:
                    digest = hashlib.file_digest(handle, "sha256").hexdigest()
                    os.fsync(handle.fileno())
                # Gone before the data changes and written after it: a kill between leaves a partition that counts as
                # stale, never a stale one that counts as fresh.
                manifest = path.with_name(_MANIFEST)
                manifest.unlink(missing_ok=True)
                os.replace(temporary, path)
                # After a power cut the manifest must not be there without the data that it speaks of.
                _sync_directory(path.parent)
                temporary.write_text(
                    json.dumps({"sha256": digest, "inputs": dict(inputs or {})}, sort_keys=True), "utf-8"
                )
                os.replace(temporary, manifest)
            finally:
                temporary.unlink(missing_ok=True)
        return digest

    def stale(self, table: str, key: str | None, inputs: Mapping[str, str | None]) -> bool:
        """Whether a partition is missing or was made from other inputs than these."""
        manifest = self._manifest(table, key)
        return manifest is None or manifest["inputs"] != dict(inputs)

    def made_from(self, table: str, key: str | None) -> dict[str, str | None]:
        """The inputs that a partition was made from; {} where it was never written or they were not given."""
        manifest = self._manifest(table, key)
        return manifest["inputs"] if manifest else {}

    def digest(self, table: str, key: str | None = None) -> str | None:
        """SHA-256 of a partition's file, or None where it was never written."""
        manifest = self._manifest(table, key)
        if manifest:
            return manifest["sha256"]
        path = self.path(table, key)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None

    def remove_threads(self, threads: Collection[str]) -> dict[str, int]:
        """Delete every row about these threads from every table that names threads; returns rows removed per table.

        What was made first goes last: `spines` says which threads there are, so that what a kill left is still listed.
        """
        removed = {}
        for table, definition in reversed(TABLES.items()):
            if "thread_id" not in definition.schema:
                continue
            for key in self.keys(table):
                frame = self.read(table, key)
                kept = frame.filter(~pl.col("thread_id").is_in(threads))
                if kept.height < frame.height:
                    removed[table] = removed.get(table, 0) + frame.height - kept.height
                    self.write(table, key, kept)
        return removed

    @contextlib.contextmanager
    def locked(self, table: str, key: str | None = None) -> Iterator[None]:
        """Hold the lock of one partition: a second run of the same day waits here, one of another day does not."""
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"{table}.{key or 'all'}.lock", is_singleton=True):
            yield

    def prepare(self) -> None:
        """Write the empty sentinel partition of each table, so that views and globs over it never fail."""
        for table, definition in TABLES.items():
            if not self.path(table, SENTINEL[definition.partitioning]).is_file():
                self.write(table, SENTINEL[definition.partitioning], definition.empty())

    def _manifest(self, table: str, key: str | None) -> dict | None:
        if not self.has(table, key):
            return None  # Somebody deleted the data, to have it made again.
        try:
            return json.loads(self.path(table, key).with_name(_MANIFEST).read_text("utf-8"))
        except FileNotFoundError:
            return None

    def _directories(self, table: str) -> list[Path]:
        directory = self.root / table
        return (
            [entry for entry in directory.iterdir() if (entry / "part-0.parquet").is_file()]
            if directory.is_dir()
            else []
        )


def _read(table: str, path: Path) -> pl.DataFrame:
    frame = pl.read_parquet(path, hive_partitioning=False)
    return _aligned(table, frame, frame.schema)


def _aligned(table: str, found: _Frame, stored: pl.Schema) -> _Frame:
    """A file's rows, whose columns are `stored`, with the columns that the table has now."""
    schema = TABLES[table].schema
    if list(stored.items()) == list(schema.items()):
        return found
    return found.select(
        (pl.col(name) if name in stored else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()
    )


def _in_order(table: Table, parts: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    last: tuple | None = None
    for part in parts:
        part = table.conform(part)
        keys = part.select(table.key)
        if last is not None and part.height and last >= keys.row(0):
            raise ValueError(f"{table.name}: parts are not in the order of {table.key}")
        last = keys.row(-1) if part.height else last
        yield part


def _sink(rows: pl.LazyFrame, file: Path) -> None:
    try:
        rows.sink_parquet(file, compression="zstd", statistics=True, row_group_size=_ROW_GROUP)
    except pl.exceptions.ComputeError as error:
        # What the parts raise arrives as an error of the computation.
        raise ValueError(str(error)) from error


def _sync_directory(directory: Path) -> None:
    """Bring a rename to the disk. Only POSIX systems can open a directory for it."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def build_catalogue(lake: Lake, path: Path) -> None:
    """Write a DuckDB file with one view per table over the lake and swap it in atomically.

    It holds no data, and no run keeps it open: a DuckDB writer shuts every other process out, readers included. A stale
    `.wal` beside a swapped file breaks it, so that goes first.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    with duckdb.connect(str(temporary)) as connection:
        for table, definition in TABLES.items():
            connection.execute(view_statement(lake, table, definition))
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
    os.replace(temporary, path)


def view_statement(lake: Lake, table: str, definition: Table) -> str:
    """The CREATE VIEW of one table. The partition's day is the column `dt` in every table that days partition."""
    glob = str((lake.root / table / "*" / "*.parquet").resolve()).replace("'", "''")
    own_day = "dt" in definition.schema
    hive = {"day": "dt", "cluster": "cluster", "none": "snapshot"}[definition.partitioning]
    hive_type = "DATE" if definition.partitioning == "day" else "VARCHAR"
    # A table that stores its own `dt` must not get the directory's as well: DuckDB refuses the pair when they differ.
    options = (
        "hive_partitioning = false"
        if own_day or definition.partitioning != "day"
        else f"hive_partitioning = true, hive_types = {{'{hive}': {hive_type}}}"
    )
    selection = ", ".join(f'"{name}"' for name in definition.schema)
    if definition.partitioning == "day" and not own_day:
        selection = f"{selection}, dt"
    return f"CREATE VIEW {table} AS SELECT {selection} FROM read_parquet('{glob}', union_by_name = true, {options})"
