"""The vector store: LanceDB collections of embedded texts, safe with several processes and at any kill.

One Lance table per collection and vector space, so that vectors of two models never meet. What belongs here: reading
and writing vectors. What does not: which texts are embedded (discovery.text), by which model (discovery.embed).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SIGNALS = "signal_embeddings"
SESSIONS = "session_embeddings"
CENTROIDS = "cluster_centroids"
COLLECTIONS = (SIGNALS, SESSIONS, CENTROIDS)

# Lance keeps a version per commit; this many commits on, small files are rewritten and versions nobody can still read
# dropped.
_COMMITS_BETWEEN_COMPACTIONS = 64
_KEEP_VERSIONS = timedelta(days=1)


class _Embedder(Protocol):
    name: str
    dimension: int

    def affordable(self, texts: list[str]) -> int: ...

    def embed(self, texts: list[str]) -> np.ndarray: ...

    def spent(self) -> tuple[int, float]: ...


@dataclass(frozen=True)
class EmbeddingReport:
    """What embedding a day did. total = unchanged + reused + embedded + deferred."""

    total: int
    unchanged: int
    reused: int
    embedded: int
    deferred: int
    removed: int
    tokens: int
    cost_usd: float


class VectorStore:
    """Vectors under one directory. Every write of a day is one atomic commit made under a file lock.

    Lance's merge_insert silently duplicates rows when two processes insert the same new keys at once; the declared
    primary key makes such commits conflict, and the lock keeps them from happening. Readers need no lock: they see
    whole commits.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root)

    def embed_day(self, collection: str, day: date, texts: Mapping[str, str], embedder: _Embedder) -> EmbeddingReport:
        """Make the day's rows of a collection exactly `texts` (id -> text), embedding only what has no vector yet.

        An id whose text is unchanged keeps its vector; a text embedded before, under whatever id, is not embedded
        again. Texts beyond the embedder's budget are left out and counted as deferred: the next run takes them up.
        """
        import numpy as np

        before = embedder.spent()
        with self._lock(f"{collection}-{day}"):
            known = self._day_hashes(collection, embedder, day)
            hashes = {key: _text_hash(text) for key, text in texts.items()}
            wanted = {hashes[key]: texts[key] for key in texts if known.get(key) != hashes[key]}
            vectors = self._by_hash(collection, embedder, set(wanted))
            fresh = {text_hash: text for text_hash, text in sorted(wanted.items()) if text_hash not in vectors}
            bought = list(fresh)[: embedder.affordable(list(fresh.values()))]
            matrix = embedder.embed([fresh[text_hash] for text_hash in bought])
            vectors.update(zip(bought, matrix, strict=True))
            unchanged = {key for key in texts if known.get(key) == hashes[key]}
            changed = [key for key in sorted(texts) if key not in unchanged and hashes[key] in vectors]
            removed = [key for key in known if key not in texts]
            stale = [key for key in texts if key in known and key not in unchanged and hashes[key] not in vectors]
            if changed or removed or stale:
                kept = self._day_vectors(collection, embedder, day, unchanged)
                rows = {key: vectors[hashes[key]] for key in changed} | kept
                ids = sorted(rows)
                table = _rows(
                    ids,
                    ids,
                    day,
                    [texts[key] for key in ids],
                    np.stack([rows[key] for key in ids]) if ids else matrix[:0],
                )
                self._replace_day(collection, embedder.name, embedder.dimension, day, table)
        after = embedder.spent()
        embedded = sum(hashes[key] in fresh for key in changed)
        return EmbeddingReport(
            total=len(texts),
            unchanged=len(unchanged),
            reused=len(changed) - embedded,
            embedded=embedded,
            deferred=len(texts) - len(unchanged) - len(changed),
            removed=len(removed),
            tokens=after[0] - before[0],
            cost_usd=after[1] - before[1],
        )

    def replace_vectors(
        self, collection: str, day: date, space: str, vectors: Mapping[str, np.ndarray], texts: Mapping[str, str]
    ) -> None:
        """Make the day's rows exactly these ready-made vectors (id -> vector) of `space` ("model/dimension").

        The same id may have a row on every day: cluster centres move.
        """
        import numpy as np

        name, _, dimension = space.rpartition("/")
        ids = sorted(vectors)
        matrix = np.stack([vectors[key] for key in ids]) if ids else np.empty((0, int(dimension)), np.float32)
        table = _rows([f"{key}@{day}" for key in ids], ids, day, [texts.get(key, "") for key in ids], matrix)
        self._replace_day(collection, name, int(dimension), day, table)

    def vectors(
        self, collection: str, space: str, day: date | None = None, ids: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """id -> vector of a collection in `space`, of all days or of one, of all ids or of some; {} where nothing is
        stored."""
        table = self._existing(collection, space)
        if table is None:
            return {}
        rows = _select(table, ["subject", "vector"], _day_filter(day))
        wanted = None if ids is None else set(ids)
        found = zip(rows["subject"].to_pylist(), _matrix(rows), strict=True)
        return {key: vector for key, vector in found if wanted is None or key in wanted}

    def days(self, collection: str, space: str) -> dict[date, int]:
        """Day -> number of rows of a collection in `space`."""
        from collections import Counter

        table = self._existing(collection, space)
        return {} if table is None else dict(sorted(Counter(_select(table, ["day"])["day"].to_pylist()).items()))

    def spaces(self, collection: str) -> list[str]:
        """The vector spaces ("model/dimension") in which the collection has a table."""
        prefix = f"{collection}__"
        if not self._root.is_dir():
            return []
        return sorted(
            _space_of_table(name.removeprefix(prefix)) for name in self._table_names() if name.startswith(prefix)
        )

    def remove(self, subjects: Iterable[str]) -> int:
        """Delete the rows of these ids from every collection and space, and the versions that still hold them; the
        number of rows removed."""
        wanted = sorted(set(subjects))
        if not wanted:
            return 0
        condition = "subject IN (" + ", ".join("'" + key.replace("'", "''") + "'" for key in wanted) + ")"
        removed = 0
        for name in self._table_names():
            with self._lock(name):
                table = self._connect().open_table(name)
                before = table.count_rows()
                table.delete(condition)
                removed += before - table.count_rows()
                table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        return removed

    def search(self, collection: str, space: str, vector: np.ndarray, limit: int = 10) -> list[tuple[str, float]]:
        """The nearest rows as (id, cosine), best first."""
        table = self._existing(collection, space)
        if table is None:
            return []
        found = table.search(vector).distance_type("cosine").select(["subject", "_distance"]).limit(limit).to_arrow()
        return [
            (key, 1.0 - distance)
            for key, distance in zip(found["subject"].to_pylist(), found["_distance"].to_pylist(), strict=True)
        ]

    def _connect(self):
        import lancedb

        self._root.mkdir(parents=True, exist_ok=True)
        return lancedb.connect(str(self._root))

    def _table_names(self) -> list[str]:
        return [path.stem for path in self._root.glob("*.lance")]

    def _existing(self, collection: str, space: str):
        name, _, dimension = space.rpartition("/")
        table_name = _table_name(collection, name, int(dimension))
        return self._connect().open_table(table_name) if table_name in self._table_names() else None

    def _lock(self, name: str):
        from filelock import FileLock

        directory = self._root / ".locks"
        directory.mkdir(parents=True, exist_ok=True)
        return FileLock(directory / f"{name}.lock")

    def _replace_day(self, collection: str, name: str, dimension: int, day: date, rows: pa.Table) -> None:
        table_name = _table_name(collection, name, dimension)
        with self._lock(table_name):
            table = self._connect().create_table(table_name, schema=_schema(dimension), exist_ok=True)
            (
                table.merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(_day_filter(day))
                .execute(rows)
            )
            if table.version % _COMMITS_BETWEEN_COMPACTIONS == 0:
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)

    def _day_hashes(self, collection: str, embedder: _Embedder, day: date) -> dict[str, str]:
        table = self._existing(collection, f"{embedder.name}/{embedder.dimension}")
        if table is None:
            return {}
        rows = _select(table, ["id", "text_hash"], _day_filter(day))
        return dict(zip(rows["id"].to_pylist(), rows["text_hash"].to_pylist(), strict=True))

    def _day_vectors(self, collection: str, embedder: _Embedder, day: date, ids: set[str]) -> dict[str, np.ndarray]:
        return self.vectors(collection, f"{embedder.name}/{embedder.dimension}", day, ids) if ids else {}

    def _by_hash(self, collection: str, embedder: _Embedder, hashes: set[str]) -> dict[str, np.ndarray]:
        """Vectors already bought for these text hashes, under whatever id and day."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = self._existing(collection, f"{embedder.name}/{embedder.dimension}")
        if table is None or not hashes:
            return {}
        place = pc.is_in(_select(table, ["text_hash"])["text_hash"], value_set=pa.array(sorted(hashes), pa.string()))
        if not pc.any(place).as_py():
            return {}
        rows = _select(table, ["text_hash", "vector"])
        rows = rows.filter(pc.is_in(rows["text_hash"], value_set=pa.array(sorted(hashes), pa.string())))
        return dict(zip(rows["text_hash"].to_pylist(), _matrix(rows), strict=True))


def _text_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _table_name(collection: str, model: str, dimension: int) -> str:
    if collection not in COLLECTIONS:
        raise ValueError(f"no vector collection {collection!r}; there are {', '.join(COLLECTIONS)}")
    return f"{collection}__{re.sub(r'[^A-Za-z0-9.-]', '-', model)}_{dimension}"


def _space_of_table(suffix: str) -> str:
    model, _, dimension = suffix.rpartition("_")
    return f"{model}/{dimension}"


def _day_filter(day: date | None) -> str | None:
    return None if day is None else f"day = date '{day.isoformat()}'"


def _schema(dimension: int) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"}),
            pa.field("subject", pa.string(), nullable=False),
            pa.field("day", pa.date32(), nullable=False),
            pa.field("text_hash", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
        ]
    )


def _rows(ids: list[str], subjects: list[str], day: date, texts: list[str], matrix: np.ndarray) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    dimension = matrix.shape[1]
    flat = pa.array(np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1))
    return pa.table(
        [
            pa.array(ids, pa.string()),
            pa.array(subjects, pa.string()),
            pa.array([day] * len(ids), pa.date32()),
            pa.array([_text_hash(text) for text in texts], pa.string()),
            pa.array(texts, pa.string()),
            pa.FixedSizeListArray.from_arrays(flat, dimension),
        ],
        schema=_schema(dimension),
    )


def _select(table, columns: list[str], condition: str | None = None) -> pa.Table:
    query = table.search().select(columns)
    return (query if condition is None else query.where(condition)).to_arrow()


def _matrix(rows: pa.Table) -> np.ndarray:
    column = rows["vector"].combine_chunks()
    return (
        column.values.to_numpy(zero_copy_only=False).reshape(len(column), -1)
        if len(column)
        else column.to_numpy(zero_copy_only=False)
    )
