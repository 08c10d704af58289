"""Dagster's SQLite storage, as a home's instance uses it: the event log keeps its files open and writes a batch at once.

What belongs here: how events reach the disk. What does not: which runs are kept (`run_retention`), opening the instance
(`instances`).

Dagster's own event log opens a database anew for each statement, about five times per event, and SQLite works the log into
the database at each closing. A range of days has thousands of events: that was a quarter of all the time of a first run.
"""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

# The index, the run under way and a few that a page of the UI shows; each open file costs a descriptor or three.
OPEN_FILES = 8
# Dagster reads the size of a batch of events from its environment; without it each event is stored by itself.
BATCH_VARIABLE, BATCH_SIZE = "DAGSTER_EVENT_BATCH_SIZE", "1000"


class HomeStorage(DagsterSqliteStorage):
    """Runs, events and schedules below `base_dir`, in the files that Dagster's own SQLite storage has."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None):
        os.environ.setdefault(BATCH_VARIABLE, BATCH_SIZE)
        super().__init__(base_dir, inst_data)
        self._event_log_storage = OpenEventLog(os.path.join(base_dir, "history", "runs", ""))

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> HomeStorage:
        os.makedirs(base_dir, exist_ok=True)
        return cls(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data, config_value) -> HomeStorage:
        return cls.from_local(config_value["base_dir"], inst_data)


class OpenEventLog(SqliteEventLogStorage):
    """Dagster's event log with a database per run and one for all, whose connections are kept from event to event."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None):
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        self._batch: tuple[ExitStack, dict[str, Connection]] | None = None
        super().__init__(base_dir, inst_data)
        # A batch holds the lock while each of its events takes it.
        self._db_lock = threading.RLock()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if self._batch is None:
                with self._engine(shard).begin() as connection:
                    yield connection
                return
            transactions, connections = self._batch
            if shard not in connections:
                connections[shard] = transactions.enter_context(self._engine(shard).begin())
            yield connections[shard]

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table. Asked for each event; one that is there is never dropped."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events in one transaction of each file, so all or none of them in each."""
        with self._db_lock, ExitStack() as transactions:
            self._batch = (transactions, {})
            try:
                for event in events:
                    self.store_event(event)
            finally:
                self._batch = None

    def delete_events(self, run_id: str) -> None:
        """Delete a run's events, and its file, which Dagster would leave."""
        super().delete_events(run_id)
        with self._db_lock:
            self._close(run_id)
            self._initialized_dbs.discard(run_id)
            if run_id != INDEX_SHARD_NAME:
                for path in glob.glob(glob.escape(self.path_for_shard(run_id)) + "*"):
                    with suppress(FileNotFoundError):
                        os.unlink(path)

    def wipe(self) -> None:
        with self._db_lock:
            for shard in list(self._engines):
                self._close(shard)
            super().wipe()

    def dispose(self) -> None:
        super().dispose()
        with self._db_lock:
            for shard in list(self._engines):
                self._close(shard)

    def _engine(self, shard: str) -> Engine:
        engine = self._engines.pop(shard, None)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                pool_size=1,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
            )
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            if len(self._engines) >= OPEN_FILES:
                self._close(next(iter(self._engines)))
        self._engines[shard] = engine  # Last, so that the one not used for longest is the first.
        return engine

    def _close(self, shard: str) -> None:
        engine = self._engines.pop(shard, None)
        if engine is not None:
            engine.dispose()
