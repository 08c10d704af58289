"""Whom a new cluster stems from although they share no member: a birth beside a living cluster is a branch of it.

When a trouble changes its shape, its new signals never were in the old cluster, so no split can be seen; but they are
nearer to it than to anything else. What does not belong here: clusters that part or join by their members (identity).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.discovery.geometry import centres, codes_of
from codex_loop_assets.discovery.identity import Event, Outcome

if TYPE_CHECKING:
    import numpy as np

BRANCH = "branch"


def with_branches(
    outcome: Outcome, before: Sequence[str | None], matrix: np.ndarray, settings: Mapping[str, Any]
) -> list[Event]:
    """The outcome's events; a birth whose centre is near enough to that of a cluster of `before` is a branch of the
    nearest, with their cosine as the overlap. `matrix`: a unit vector per point."""
    import numpy as np

    codes, old = codes_of(pl.Series(before, dtype=pl.String))
    if not old or not any(event.kind == "birth" for event in outcome.events):
        return outcome.events
    old_centres = centres(matrix, codes, len(old))
    newcomers = [point for point in outcome.via if outcome.via[point] == "birth"]
    events = []
    for event in outcome.events:
        if event.kind == "birth":
            founders = [point for point in newcomers if outcome.clusters[point] == event.cluster_id]
            centre = matrix[founders].sum(axis=0, dtype=np.float64)
            cosines = (old_centres @ centre / np.linalg.norm(centre)).round(6)
            nearest = int(cosines.argmax())
            if cosines[nearest] >= settings["kin_similarity"]:
                event = replace(event, kind=BRANCH, other_id=old[nearest], overlap=float(cosines[nearest]))
        events.append(event)
    return events
