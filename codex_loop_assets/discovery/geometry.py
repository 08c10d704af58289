"""Clusters as points on the unit sphere: centres, similarities, the most central members, the nearest outsiders.

What does not belong here: finding the clusters (fit) and what their members have in common in words (profile, label).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np


def codes_of(clusters: pl.Series) -> tuple[np.ndarray, list[str]]:
    """Clusters as numbers in the order of their ids, -1 for none; and the ids by number."""
    names = clusters.drop_nulls().unique().sort()
    numbers = pl.DataFrame({"name": names, "number": pl.int_range(len(names), eager=True)})
    found = pl.DataFrame({"name": clusters}).join(numbers, on="name", how="left", maintain_order="left")["number"]
    return found.fill_null(-1).to_numpy(), names.to_list()


def centres(matrix: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Unit vector of each cluster 0..count-1 over the rows with its code (-1: none); zero where a cluster has no
    row."""
    import numpy as np

    order = np.argsort(codes, kind="stable")
    order = order[codes[order] >= 0]
    result = np.zeros((count, matrix.shape[1]), dtype=np.float32)
    present, starts = np.unique(codes[order], return_index=True)
    for code, start, stop in zip(present, starts, [*starts[1:], len(order)], strict=True):
        result[code] = matrix[order[start:stop]].sum(axis=0, dtype=np.float64)
    norms = np.linalg.norm(result, axis=1, keepdims=True)
    return result / np.where(norms == 0, 1, norms)


def rank_within(groups: np.ndarray) -> np.ndarray:
    """For each element, how many earlier elements have the same group."""
    import numpy as np

    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0]) if len(groups) else np.empty(0, int)
    lengths = np.diff(np.r_[starts, len(groups)])
    rank = np.empty(len(groups), dtype=int)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return rank


def mixed(ids: pl.Series) -> np.ndarray:
    """A number for each id, equal for equal ids, that orders them as if at random."""
    import numpy as np

    keys = ids.cast(pl.Binary).to_list()
    longest = max(map(len, keys), default=1)
    words = np.array(keys, dtype=f"S{-(-max(longest, 1) // 8) * 8}").view(np.uint64)
    return mixed_words(words.reshape(len(keys), -1))


def mixed_words(words: np.ndarray) -> np.ndarray:
    """A number for each row of 64-bit words, equal for equal rows. Polars' own hash differs from version to version, and a
    sample must not; the raw stream of a bit generator stays as it is."""
    import numpy as np

    return words @ (np.random.PCG64(0).random_raw(words.shape[1]) | np.uint64(1))


class Space:
    """The members of one type as points. Cosines are rounded before they are ordered, so that the order does not hang
    on the last bit of a sum."""

    def __init__(self, members: pl.DataFrame, matrix: np.ndarray, live: list[str], sample: int) -> None:
        """`members`: rows of `cluster_members`, by signal_id; `matrix`: the vector of each. `live`: ids of the type's
        clusters, in order. `sample`: so many members of each cluster are looked at as outsiders of the others: every
        cluster against every signal would cost more each day."""
        import numpy as np

        self.ids = members["signal_id"]
        # Cluster ids with their numbers.
        self.live = {key: code for code, key in enumerate(live)}
        held, names = codes_of(members["cluster_id"])
        numbers = np.array([*(self.live[key] for key in names), -1])
        self._codes = numbers[held]
        self._matrix = matrix
        self._centres = centres(self._matrix, self._codes, len(live))
        self._own = np.einsum("ij,ij->i", self._matrix, self._centres[self._codes]).astype(float).round(6)
        self._pool = np.flatnonzero(rank_within(self._codes) < sample)
        self._pool_matrix = self._matrix[self._pool]

    def centroids(self) -> dict[str, np.ndarray]:
        """cluster_id -> centre, of clusters with at least one vector."""
        return {key: self._centres[code] for key, code in self.live.items() if self._centres[code].any()}

    def similarity(self) -> pl.DataFrame:
        """signal_id and similarity: the cosine to the centre of its cluster, for members of clusters."""
        inside = self._codes >= 0
        return pl.DataFrame({"signal_id": self.ids.filter(inside), "similarity": self._own[inside]})

    def members(self, cluster_id: str, limit: int) -> list[str]:
        """The most central members, best first."""
        import numpy as np

        points = np.flatnonzero(self._codes == self.live[cluster_id])
        return self._best(points, self._own[points], limit)

    def outsiders(self, cluster_id: str, limit: int) -> list[str]:
        """The nearest signals of the type that are not members, nearest first."""
        import numpy as np

        code = self.live[cluster_id]
        cosines = (self._pool_matrix @ self._centres[code]).round(6)
        outside = np.flatnonzero(self._codes[self._pool] != code)
        return self._best(self._pool[outside], cosines[outside], limit)

    def cohesion(self, cluster_id: str) -> float:
        """Mean cosine of the members to the centre; 0 when none has a vector."""
        own = self._own[self._codes == self.live[cluster_id]]
        return round(float(own.mean()), 6) if len(own) else 0.0

    def _best(self, points: np.ndarray, cosines: np.ndarray, limit: int) -> list[str]:
        import numpy as np

        if len(points) > limit:
            # Keep everything as near as the last one wanted, so that ties are broken by id and not by the partition.
            edge = np.partition(cosines, len(points) - limit)[len(points) - limit]
            points, cosines = points[cosines >= edge], cosines[cosines >= edge]
        return self.ids.gather(points[np.lexsort((points, -cosines))][:limit]).to_list()
