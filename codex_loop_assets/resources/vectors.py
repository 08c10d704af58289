"""The vector store: LanceDB collections of embedded texts, safe with several processes and at any kill.

One Lance table per collection and vector space, so that vectors of two models never meet. What belongs here: reading
and writing vectors. What does not: which texts are embedded (discovery.text), by which model (discovery.embed).
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from codex_loop_assets.discovery.embed import BudgetExhausted, EmbeddingError

if TYPE_CHECKING:
    import lancedb
    import numpy as np
    import polars as pl
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

    def batches(self, texts: list[str]) -> list[list[str]]: ...

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
        self._connection = None

    def embed_day(self, collection: str, day: date, texts: Mapping[str, str], embedder: _Embedder) -> EmbeddingReport:
        """Make the day's rows of a collection exactly `texts` (id -> text), embedding only what has no vector yet.

        An id whose text is unchanged keeps its vector; a text embedded before, under whatever id, is not embedded
        again. Texts beyond the day's budget are left out and counted as deferred: the next run takes them up. Raises
        EmbeddingError where a batch fails, after keeping the batches that were paid before it.
        """
        spent = embedder.spent()
        with self._lock(f"{collection}-{day}"):
            known = self._day_hashes(collection, embedder, day)
            hashes = {key: _text_hash(text) for key, text in texts.items()}
            unchanged = {key for key in texts if known.get(key) == hashes[key]}
            wanted = {hashes[key]: text for key, text in sorted(texts.items()) if key not in unchanged}
            vectors = self._by_hash(collection, embedder, set(wanted))
            bought, failure = _embedded({key: text for key, text in wanted.items() if key not in vectors}, embedder)
            vectors |= bought
            changed = {key: vectors[hashes[key]] for key in texts.keys() - unchanged if hashes[key] in vectors}
            if changed or known.keys() - unchanged:
                kept = self._day_vectors(collection, embedder, day, unchanged)
                self._write_texts(collection, embedder, day, texts, {**kept, **changed})
        if failure is not None:
            raise failure
        tokens, cost = (after - before for before, after in zip(spent, embedder.spent(), strict=True))
        embedded = sum(hashes[key] in bought for key in changed)
        return EmbeddingReport(
            total=len(texts),
            unchanged=len(unchanged),
            reused=len(changed) - embedded,
            embedded=embedded,
            deferred=len(texts) - len(unchanged) - len(changed),
            removed=len(known.keys() - texts.keys()),
            tokens=tokens,
            cost_usd=cost,
        )

    def replace_vectors(
        self, collection: str, day: date, space: str, vectors: Mapping[str, np.ndarray], texts: Mapping[str, str]
    ) -> None:
        """Make the day's rows exactly these ready-made vectors (id -> vector) of `space` ("model/dimension").

        The same id may have a row on every day: cluster centres move.
        """
        name, _, dimension = space.rpartition("/")
        ids = sorted(vectors)
        matrix = _stacked(ids, vectors, int(dimension))
        table = _rows([f"{key}@{day}" for key in ids], ids, day, [texts.get(key, "") for key in ids], matrix)
        self._replace_day(collection, name, int(dimension), day, table)

    def vectors(
        self, collection: str, space: str, day: date | None = None, ids: Iterable[str] | None = None
    ) -> Mapping[str, np.ndarray]:
        """id -> vector of a collection in `space`, of all days or of one, of all ids or of some; {} where nothing is
        stored."""
        import polars as pl

        from codex_loop_assets.discovery.vectors import Vectors

        table = self._existing(collection, space)
        if table is None:
            return {}
        rows = _select(table, ["subject", "vector"], _day_filter(day))
        found = Vectors(pl.Series(pl.from_arrow(rows["subject"])), _matrix(rows))
        return found if ids is None else {key: found[key] for key in set(ids) if key in found}

    def table(self, collection: str, space: str) -> StoredVectors | Mapping[str, np.ndarray]:
        """The vectors of a collection in `space`, to be read as they are asked for; {} where nothing is stored."""
        table = self._existing(collection, space)
        return {} if table is None else StoredVectors(table)

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
        removed = 0
        for name in self._table_names():
            with self._lock(name):
                table = self._connect().open_table(name)
                before = table.count_rows()
                table.delete(_subjects(wanted))
                removed += before - table.count_rows()
                _drop_older_versions(table)
        return removed

    def blank(self, collection: str, subjects: Iterable[str]) -> None:
        """Empty the texts of these ids' rows in a collection, vectors and all else kept, and drop the versions that hold
        them."""
        wanted = sorted(set(subjects))
        names = [name for name in self._table_names() if name.startswith(f"{collection}__")]
        for name in names if wanted else []:
            with self._lock(name):
                table = self._connect().open_table(name)
                table.update(where=_subjects(wanted), values={"text": ""})
                _drop_older_versions(table)

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
        # Kept: opening the directory anew for every step took more time than the steps.
        if self._connection is None:
            import lancedb

            self._root.mkdir(parents=True, exist_ok=True)
            self._connection = lancedb.connect(str(self._root))
        return self._connection

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

    def _write_texts(
        self,
        collection: str,
        embedder: _Embedder,
        day: date,
        texts: Mapping[str, str],
        vectors: Mapping[str, np.ndarray],
    ) -> None:
        ids = sorted(vectors)
        rows = _rows(ids, ids, day, [texts[key] for key in ids], _stacked(ids, vectors, embedder.dimension))
        self._replace_day(collection, embedder.name, embedder.dimension, day, rows)

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

    def _day_vectors(self, collection: str, embedder: _Embedder, day: date, ids: set[str]) -> Mapping[str, np.ndarray]:
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


class StoredVectors:
    """Vectors by id, on the disk until they are asked for: a day that needs a few thousand of them must not read those of
    the whole history. As of the moment this was made, unless rows have been forgotten since."""

    def __init__(self, table) -> None:
        self._table = table
        self._rows = _row_ids(table)

    def known(self, ids: pl.Series) -> pl.Series:
        """Whether each of the ids has a vector."""
        return ids.is_in(self._rows["subject"].implode())

    def take(self, ids: pl.Series) -> np.ndarray:
        """One row per id. Raises KeyError when one has no vector."""
        import polars as pl

        from codex_loop_assets.discovery.vectors import Vectors

        try:
            found = self._read(ids)
        except RuntimeError:
            # Forgetting removes the files of earlier versions, and what is left has other rows in the new ones.
            self._table.checkout_latest()
            self._rows = _row_ids(self._table)
            found = self._read(ids)
        return Vectors(pl.Series(pl.from_arrow(found["subject"])), _matrix(found)).take(ids)

    def _read(self, ids: pl.Series) -> pa.Table:
        import polars as pl

        wanted = self._rows.filter(pl.col("subject").is_in(ids.implode()))["_rowid"].to_list()
        return self._table.take_row_ids(wanted).select(["subject", "vector"]).to_arrow()


def _row_ids(table) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(pl.from_arrow(table.search().select(["subject"]).with_row_id(True).to_arrow()))


def _drop_older_versions(table: lancedb.table.Table) -> None:
    """Drop all versions but the newest: what is forgotten must not lie in an older one. LanceDB warns that readers of those
    fail; ours read again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "optimize", UserWarning)
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


def _embedded(texts: Mapping[str, str], embedder: _Embedder) -> tuple[dict[str, np.ndarray], EmbeddingError | None]:
    """Hash -> vector of as many of the texts (hash -> text) as the budget pays for, the same ones every time; and the
    error that stopped it, where one did."""
    vectors: dict[str, np.ndarray] = {}
    hashes = sorted(texts)
    for batch in embedder.batches([texts[key] for key in hashes]):
        try:
            rows = embedder.embed(batch)
        except BudgetExhausted:
            break
        except EmbeddingError as error:
            return vectors, error
        vectors.update(zip(hashes[len(vectors) : len(vectors) + len(batch)], rows, strict=True))
    return vectors, None


def _stacked(ids: list[str], vectors: Mapping[str, np.ndarray], dimension: int) -> np.ndarray:
    import numpy as np

    return np.stack([vectors[key] for key in ids]) if ids else np.empty((0, dimension), np.float32)


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


def _subjects(wanted: list[str]) -> str:
    return "subject IN (" + ", ".join("'" + key.replace("'", "''") + "'" for key in wanted) + ")"


def _select(table, columns: list[str], condition: str | None = None) -> pa.Table:
    query = table.search().select(columns)
    return (query if condition is None else query.where(condition)).to_arrow()


def _matrix(rows: pa.Table) -> np.ndarray:
    column = rows["vector"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
