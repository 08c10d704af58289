"""What a category learnt from a cluster would find on history: a nearest-centre detector with a learnt threshold.

The estimate is honest: each member is judged by a centre made without it. What does not belong here: the detector
that a promoted category really uses (signals.judges).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Backtest:
    """Counts on all signals of the type: members found and missed, others found, and precision, recall and F1 of
    that."""

    threshold: float
    members: int
    members_found: int
    others: int
    others_found: int
    precision: float
    recall: float
    f1: float

    def as_dict(self) -> dict:
        return asdict(self)


def backtest(members: np.ndarray, others: np.ndarray) -> Backtest:
    """Judge members (rows: unit vectors) and all other signals of the type by the cosine to the members' centre.

    The threshold is the one with the best F1 for leave-one-out members against the others.
    """
    import numpy as np

    total = members.sum(axis=0, dtype=np.float64)
    without = total[None, :] - members
    lengths = np.linalg.norm(without, axis=1)
    inside = np.einsum("ij,ij->i", members, without) / np.where(lengths == 0, 1, lengths)
    centre = total / max(float(np.linalg.norm(total)), 1e-12)
    outside = others @ centre if len(others) else np.empty(0)
    candidates = np.unique(inside.round(4))
    found = len(inside) - np.searchsorted(np.sort(inside), candidates - 5e-5)
    wrong = len(outside) - np.searchsorted(np.sort(outside), candidates - 5e-5)
    f1 = 2 * found / (len(inside) + found + wrong)
    best = int(len(f1) - 1 - np.argmax(f1[::-1]))
    hits, misses = int(found[best]), int(wrong[best])
    return Backtest(
        threshold=round(float(candidates[best]), 4),
        members=len(inside),
        members_found=hits,
        others=len(outside),
        others_found=misses,
        precision=round(hits / max(hits + misses, 1), 3),
        recall=round(hits / max(len(inside), 1), 3),
        f1=round(float(f1[best]), 3),
    )
