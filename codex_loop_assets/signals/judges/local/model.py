"""The trained weights: one logistic regression per target, over the features of a message.

The weights are data (model.json and ngram_model.json, made by `signals/judges/train.py`; MODEL_CARD.md says from what).
What belongs here: reading and applying them. What does not: thresholds and calibration (config/local_judge.toml),
features, training.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from codex_loop_assets.signals.judges.local import ngrams


@dataclass(frozen=True)
class Target:
    """One logistic regression: log-odds = bias + sum of weight times value."""

    bias: float
    weights: Mapping[str, float]

    def log_odds(self, values: Mapping[str, float]) -> float:
        return self.bias + sum(weight * values[name] for name, weight in self.weights.items())


@dataclass(frozen=True)
class Model:
    """All targets by name: the semantic categories; and what the words alone say, which is a part of their features."""

    targets: Mapping[str, Target]
    words: ngrams.NgramModel

    def log_odds(self, values: Mapping[str, float]) -> dict[str, float]:
        """Log-odds per target of one message. Raises KeyError for a missing feature: the weights are stale."""
        return {name: target.log_odds(values) for name, target in self.targets.items()}

    def as_json(self) -> str:
        """The targets, one line per feature, so that a change of weights can be read in a diff."""
        content = {name: {"bias": target.bias, **target.weights} for name, target in self.targets.items()}
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    def fingerprint(self) -> str:
        """Hash of all weights: a part of the judge's version."""
        return hashlib.sha256((self.as_json() + self.words.as_json()).encode()).hexdigest()[:16]


@cache
def packaged() -> Model:
    """The shipped weights."""
    folder = resources.files(__package__)
    content: dict[str, dict[str, float]] = json.loads((folder / "model.json").read_text("utf-8"))
    targets = {name: Target(bias=values.pop("bias"), weights=values) for name, values in content.items()}
    return Model(targets, ngrams.parse((folder / "ngram_model.json").read_text("utf-8")))


def probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))


def fold(
    names: Sequence[str], means: Sequence[float], scales: Sequence[float], weights: Sequence[float], bias: float
) -> Target:
    """A regression on standardised features as one on plain features, rounded; features without weight are left out."""
    plain = {name: round(weight / scale, 4) for name, weight, scale in zip(names, weights, scales, strict=True)}
    shift = sum(plain[name] * mean for name, mean in zip(names, means, strict=True))
    return Target(bias=round(bias - shift, 4), weights={name: weight for name, weight in plain.items() if weight})
