"""Finding dense groups among vectors: a capped, deterministic sample, its main directions, HDBSCAN.

What does not belong here: identity over days (see identity); this module knows only one day's points.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from codex_loop_assets.discovery.geometry import mixed, mixed_words, rank_within

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

NOT_FITTED, NOISE = -2, -1


def fit_points(
    ids: pl.Series,
    matrix: np.ndarray,
    clusters: np.ndarray,
    arrived: np.ndarray,
    day: date,
    settings: Mapping[str, Any],
) -> np.ndarray:
    """Fitted group per point: 0.. for a group, -1 for noise, -2 for points that were not in the fit.

    `ids` sorted, `matrix` their unit vectors, `clusters` int codes of the clusters they are in (-1: none), `arrived`
    date ordinals. `settings` is the `clusters` table. Same points, same result, whatever happened before.
    """
    import numpy as np

    labels = np.full(len(ids), NOT_FITTED)
    sample, copies_of = _sample(ids, matrix, clusters, arrived, day, settings)
    size = minimum_size(len(sample), settings)
    labels[sample] = _dense_groups(matrix[sample], size, settings) if len(sample) >= size else NOISE
    return _with_copies(labels, copies_of, size)


def minimum_size(points: int, settings: Mapping[str, Any]) -> int:
    """Fewest points that make a cluster, growing slowly with the number of points."""
    return max(settings["minimum_cluster_size"], int(points**0.5 / settings["size_root_divisor"]))


def _sample(ids, matrix, clusters, arrived, day, settings) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices of the points to fit, and for every point the number of its group of identical vectors.

    Kept, in this order until the cap: some members of every cluster (at most half the cap, so that old structure is
    always seen), then points without a cluster, newest first, then the newest members. Ties go by a hash of the id.
    """
    import numpy as np

    copies_of = _copy_groups(matrix)
    order = mixed(ids)
    candidates = np.flatnonzero(arrived > day.toordinal() - settings["window_days"])
    candidates = candidates[np.argsort(order[candidates], kind="stable")]
    # More identical points than make a cluster would be a cluster of their own, infinitely dense, whatever lies
    # around them.
    fewer = max(1, minimum_size(min(len(candidates), settings["fit_cap"]), settings) - 1)
    candidates = candidates[rank_within(copies_of[candidates]) < fewer]
    if len(candidates) <= settings["fit_cap"]:
        return np.sort(candidates), copies_of
    members = candidates[clusters[candidates] >= 0]
    rank = rank_within(clusters[members])
    standing = members[rank < settings["sample_per_cluster"]]
    standing = standing[np.argsort(rank[rank < settings["sample_per_cluster"]], kind="stable")][
        : settings["fit_cap"] // 2
    ]
    rest = np.setdiff1d(candidates, standing, assume_unique=True)
    rest = rest[np.lexsort((order[rest], -arrived[rest], clusters[rest] >= 0))]
    return np.sort(np.concatenate([standing, rest[: settings["fit_cap"] - len(standing)]])), copies_of


def _copy_groups(matrix: np.ndarray) -> np.ndarray:
    """Group number per row, equal for rows with the same bits."""
    import numpy as np

    if matrix.shape[1] % 2:
        matrix = np.pad(matrix, ((0, 0), (0, 1)))
    bits = np.ascontiguousarray(matrix, dtype=np.float32).view(np.uint64)
    return np.unique(mixed_words(bits), return_inverse=True)[1].reshape(-1)


def _dense_groups(matrix: np.ndarray, size: int, settings: Mapping[str, Any]) -> np.ndarray:
    import warnings

    from hdbscan import HDBSCAN

    points = _reduced(matrix, settings)
    model = HDBSCAN(
        min_cluster_size=size,
        min_samples=settings["min_samples"],
        cluster_selection_method=settings["selection"],
        cluster_selection_epsilon=settings["selection_epsilon"],
        metric="euclidean",
        # Its cost depends on the number of points alone. Borůvka's, the default, rose by a half over two months at the
        # same number, for the more clusters the points form, the less of a tree it can leave out.
        algorithm="prims_kdtree",
        core_dist_n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # hdbscan divides by the zero distance of copies; it handles the infinity that follows
        return model.fit_predict(points)


def _reduced(matrix: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """The main directions only, back on the unit sphere: a hundredth of the time, and less noise, than the full
    space.

    The mean is not taken away. Where one trouble makes up most of the points, the mean is its centre: without it, its
    points would lie around the origin, the unit sphere would throw them in all directions, and the greatest cluster
    would be found as hundreds of shards.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    points = matrix.astype(np.float64)
    if len(points) >= settings["pca_from_points"]:
        # On a machine with other work two threads wait for each other: 0.4 s where one takes 0.01 s. One also sums in the
        # same order whatever the number of cores.
        with threadpool_limits(1):
            directions = np.linalg.eigh(points.T @ points)[1][:, ::-1]
        points = points @ directions[:, : settings["pca_dimensions"]]
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(norms == 0, 1, norms)


def _with_copies(labels: np.ndarray, copies_of: np.ndarray, size: int) -> np.ndarray:
    """Give copies left out of the fit their copies' group; many identical points with nothing near are a group, too."""
    import numpy as np

    labels = labels.copy()
    groups = np.full(copies_of.max(initial=-1) + 1, NOT_FITTED)
    fitted = labels != NOT_FITTED
    np.maximum.at(groups, copies_of[fitted], labels[fitted])
    counts = np.bincount(copies_of, minlength=len(groups))
    alone = np.flatnonzero((groups == NOISE) & (counts >= size))
    groups[alone] = labels.max(initial=-1) + 1 + np.arange(len(alone)) if len(alone) else groups[alone]
    return np.where(fitted & (groups[copies_of] < 0), labels, groups[copies_of])
