"""Vectors by id as one matrix: looked up like a mapping, taken by the thousand without a step of Python for each.

What does not belong here: where they are kept (resources.vectors) and how they are made (embed).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np


class Vectors(Mapping[str, "np.ndarray"]):
    """Immutable; of an id given twice the last row counts. A day on a long history asks for tens of thousands of rows
    at once: gathered from a dict, one by one, they cost more than the clustering."""

    def __init__(self, ids: pl.Series, matrix: np.ndarray) -> None:
        """`ids`: one per row of `matrix`."""
        places = pl.DataFrame({"id": ids.cast(pl.String), "row": pl.int_range(len(ids), eager=True)})
        self._places = places.unique("id", keep="last", maintain_order=True)
        self._matrix = matrix
        self._rows: dict[str, int] | None = None

    @classmethod
    def of(cls, vectors: Mapping[str, np.ndarray]) -> Vectors:
        """The same vectors as a matrix; itself when it is one."""
        import numpy as np

        if isinstance(vectors, cls):
            return vectors
        matrix = np.stack(list(vectors.values())) if vectors else np.empty((0, 0), np.float32)
        return cls(pl.Series("id", list(vectors), pl.String), matrix)

    @property
    def ids(self) -> pl.Series:
        """Every id once."""
        return self._places["id"]

    def known(self, ids: pl.Series) -> pl.Series:
        """Whether each of the ids has a vector."""
        return ids.is_in(self.ids.implode())

    def take(self, ids: pl.Series) -> np.ndarray:
        """One row per id. Raises KeyError when one has no vector."""
        rows = pl.DataFrame({"id": ids}).join(self._places, on="id", how="left", maintain_order="left")["row"]
        if rows.null_count():
            raise KeyError(f"{rows.null_count()} ids have no vector")
        return self._matrix[rows.to_numpy()]

    def __getitem__(self, key: str) -> np.ndarray:
        return self._matrix[self._row_of()[key]]

    def __contains__(self, key: object) -> bool:
        return key in self._row_of()

    def _row_of(self) -> dict[str, int]:
        if self._rows is None:
            self._rows = dict(self._places.iter_rows())
        return self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._places["id"].to_list())

    def __len__(self) -> int:
        return self._places.height
