"""Whether a proposed category can be learnt: its own detector, taught most of the examples, asked about the others.

A cluster may hang together as vectors and still have too few texts of people that say the same: promoted, it would find
whatever is like its one odd example. What does not belong here: the detector (signals.judges) and how a cluster
separates from other signals (backtest).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.signals.judges.local.promoted import Examples, learn

_PARTS = 5


@dataclass(frozen=True)
class FoundAgain:
    """Of `examples` different positives, `found` are found by a detector learnt from others."""

    examples: int
    found: int

    @property
    def share(self) -> float:
        return self.found / self.examples if self.examples else 0.0


def found_again(positives: Sequence[str], hard_negatives: Sequence[str], settings: Mapping[str, Any]) -> FoundAgain:
    """Leave each positive out once, alone or with a fifth of them. `settings`: the table `promoted` of the section
    `local_judge`."""
    texts = list(dict.fromkeys(positives))
    found = 0
    for part in range(min(_PARTS, len(texts))):
        left_out = texts[part::_PARTS]
        detector = learn([text for text in texts if text not in left_out], hard_negatives, settings)
        found += sum(confidence is not None for confidence in detector.confidences(Examples.of(left_out)))
    return FoundAgain(len(texts), found)
