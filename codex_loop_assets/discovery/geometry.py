"""Clusters as points on the unit sphere: centres, similarities, the most central members, the nearest outsiders.

What does not belong here: finding the clusters (fit) and what their members have in common in words (profile, label).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np


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


class Space:
    """The members of one type as points. Cosines are rounded before they are ordered, so that the order does not hang
    on the last bit of a sum."""

    def __init__(self, members: pl.DataFrame, vectors: Mapping[str, np.ndarray], live: list[str]) -> None:
        """`members`: rows of `cluster_members` with a vector in `vectors`, by signal_id. `live`: ids of the type's
        clusters."""
        import numpy as np

        numbers = {key: code for code, key in enumerate(live)}
        self.ids = members["signal_id"].to_list()
        self._live = numbers
        self._codes = np.array([numbers.get(key, -1) for key in members["cluster_id"]], dtype=int)
        matrix = np.stack([vectors[key] for key in self.ids])
        self._centres = centres(matrix, self._codes, len(live))
        self._cosines = (matrix @ self._centres.T).round(6)

    def centroids(self) -> dict[str, np.ndarray]:
        """cluster_id -> centre, of clusters with at least one vector."""
        return {key: self._centres[code] for key, code in self._live.items() if self._centres[code].any()}

    def similarity(self) -> dict[str, float]:
        """signal_id -> cosine to the centre of its cluster, for members of clusters."""
        import numpy as np

        inside = np.flatnonzero(self._codes >= 0)
        own = self._cosines[inside, self._codes[inside]].astype(float).round(6).tolist()
        return {self.ids[point]: value for point, value in zip(inside.tolist(), own, strict=True)}

    def members(self, cluster_id: str, limit: int) -> list[str]:
        """The most central members, best first."""
        return self._nearest(cluster_id, limit, inside=True)

    def outsiders(self, cluster_id: str, limit: int) -> list[str]:
        """The nearest signals of the type that are not members, nearest first."""
        return self._nearest(cluster_id, limit, inside=False)

    def cohesion(self, cluster_id: str) -> float:
        """Mean cosine of the members to the centre; 0 when none has a vector."""
        code = self._live[cluster_id]
        own = self._cosines[self._codes == code, code]
        return round(float(own.mean(dtype=float)), 6) if len(own) else 0.0

    def _nearest(self, cluster_id: str, limit: int, *, inside: bool) -> list[str]:
        import numpy as np

        code = self._live[cluster_id]
        points = np.flatnonzero((self._codes == code) == inside)
        cosines = self._cosines[points, code]
        if len(points) > limit:
            # Keep everything as near as the last one wanted, so that ties are broken by id and not by the partition.
            edge = np.partition(cosines, len(points) - limit)[len(points) - limit]
            points, cosines = points[cosines >= edge], cosines[cosines >= edge]
        return [self.ids[point] for point in points[np.lexsort((points, -cosines))][:limit]]
