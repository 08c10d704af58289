"""Trains the weights of the local judge: `python -m codex_loop_assets.signals.judges.train`.

Two steps: the words (`local/ngrams`), then all features together (`local/model`). The second sees of the first only what it
says about sentences that it was not trained on, or it would trust it too much. What does not belong here: the training
sessions (`training_data`), and thresholds and calibration, which are chosen on labelled data and kept in
config/local_judge.toml.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.local.features import Reader, features
from codex_loop_assets.signals.judges.local.model import Model, Target, fold
from codex_loop_assets.signals.judges.local.ngrams import NgramModel, ngrams, scale
from codex_loop_assets.signals.judges.training_data import Labelled, woven_sessions, written_sessions

if TYPE_CHECKING:
    import numpy as np

_PACKAGE = "codex_loop_assets.signals.judges.local"
_FOLDS = 5


def train(
    written: Sequence[Labelled], woven: Sequence[Labelled], settings: Mapping[str, Any], leave_out: Sequence[str] = ()
) -> Model:
    """Weights learnt from these sessions; `settings` is the section `local_judge`.

    Woven sessions count less: what surrounds their moment is chance. `leave_out` names feature groups (the part before
    the dot) that are not used, for ablations.
    """
    import numpy as np

    reader = Reader(settings)
    sessions = [*written, *woven]
    read = [reader.read(transcript.spoken_turns) for transcript, _ in sessions]
    shown = [labels for _, found in sessions for labels in found]
    prose = [item.message.prose for items in read for item in items]
    words, told = _learn_words(prose, shown, settings)
    values = [row | about for row, about in zip((row for items in read for row in features(items)), told, strict=True)]
    names = [name for name in values[0] if name.partition(".")[0] not in leave_out]
    matrix = np.array([[row[name] for name in names] for row in values])
    ordinary = sum(len(labels) for _, labels in written)
    count = np.where(np.arange(len(shown)) < ordinary, 1.0, settings["training"]["woven_weight"])
    inverse_penalty = settings["training"]["inverse_penalty"]
    targets = {
        category: _fit(names, matrix, [category in labels for labels in shown], count, inverse_penalty)
        for category in settings["decision"]["threshold"]
    }
    return Model(targets, words)


def _learn_words(
    prose: Sequence[str], shown: Sequence[frozenset[str]], settings: Mapping[str, Any]
) -> tuple[NgramModel, list[dict[str, float]]]:
    """The model of the words, and what models trained without a sentence say about it.

    The same sentence is always in the same fold, however often it occurs.
    """
    folds = [int(hashlib.sha256(text.lower().encode()).hexdigest(), 16) % _FOLDS for text in prose]
    told: list[dict[str, float]] = [{} for _ in prose]
    for left_out in range(_FOLDS):
        others = [place for place, fold_ in enumerate(folds) if fold_ != left_out]
        partial = _fit_words([prose[place] for place in others], [shown[place] for place in others], settings)
        for place, fold_ in enumerate(folds):
            if fold_ == left_out:
                told[place] = partial.features(prose[place])
    return _fit_words(prose, shown, settings), told


def _fit_words(prose: Sequence[str], shown: Sequence[frozenset[str]], settings: Mapping[str, Any]) -> NgramModel:
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    categories = tuple(settings["decision"]["threshold"])
    wanted = np.array([[category in labels for category in categories] for labels in shown])
    found = [ngrams(text) for text in prose]
    kept = _telling(found, wanted, settings["training"])
    column = {ngram: place for place, ngram in enumerate(kept)}
    cells = [(row, column[ngram], scale(own)) for row, own in enumerate(found) for ngram in own if ngram in column]
    rows, columns, counts = zip(*cells, strict=True)
    matrix = csr_matrix((counts, (rows, columns)), shape=(len(found), len(kept)))
    fitted = [
        LogisticRegression(C=settings["training"]["ngram_inverse_penalty"], solver="liblinear", random_state=0).fit(
            matrix, wanted[:, place]
        )
        for place in range(len(categories))
    ]
    weights = np.round(np.array([model.coef_[0] for model in fitted]).T, 2)
    return NgramModel(
        categories,
        tuple(round(float(model.intercept_[0]), 3) for model in fitted),
        {ngram: tuple(float(weight) for weight in weights[place]) for ngram, place in column.items()},
    )


def _telling(found: Sequence[frozenset[str]], wanted: np.ndarray, settings: Mapping[str, Any]) -> list[str]:
    """The n-grams that occur with some category much more or less often than by chance (largest chi-square), sorted."""
    import numpy as np

    counts = Counter(ngram for own in found for ngram in own)
    names = sorted(ngram for ngram, count in counts.items() if count >= settings["ngram_occurrences"])
    place = {ngram: number for number, ngram in enumerate(names)}
    together = np.zeros((len(names), wanted.shape[1]))
    for own, labels in zip(found, wanted, strict=True):
        together[[place[ngram] for ngram in own if ngram in place]] += labels
    expected = np.outer([counts[ngram] for ngram in names], wanted.mean(axis=0))
    surprise = ((together - expected) ** 2 / expected).max(axis=1)
    best = np.argsort(-surprise, kind="stable")[: settings["ngrams"]]
    return [names[number] for number in sorted(best)]


def _fit(
    names: Sequence[str], matrix: np.ndarray, wanted: Sequence[bool], count: np.ndarray, inverse_penalty: float
) -> Target:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(matrix)
    fitted = LogisticRegression(C=inverse_penalty, max_iter=5000).fit(
        scaler.transform(matrix), wanted, sample_weight=count
    )
    return fold(names, scaler.mean_, scaler.scale_, fitted.coef_[0], float(fitted.intercept_[0]))


def save(model: Model, folder: Path) -> None:
    """Write the weights where the package looks for them."""
    (folder / "model.json").write_text(model.as_json(), "utf-8")
    (folder / "ngram_model.json").write_text(model.words.as_json(), "utf-8")


if __name__ == "__main__":
    trained = train(written_sessions(), woven_sessions(), section("local_judge"))
    save(trained, Path(str(resources.files(_PACKAGE))))
