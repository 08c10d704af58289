"""Which categories the local judge may look for: `python -m codex_loop_assets_tests.signals.judges.evidence LABELLED_DIR`.

Scores the judge beside the regex baseline, on sessions for tuning only: the fixtures' (none of a session with a held-out
moment), the invented conversations with an even number, and the labelled real ones. First with every category on: those
that may not be looked for are taken out, and the others are scored again as they are then found, until all may stay.
Prints config/local_categories.toml: who looks for each category, with the figures that say so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codex_loop_assets.measure.comparison import Judged, compare
from codex_loop_assets.measure.gold import (
    fixture_truth,
    planted_canon,
    planted_conversations,
    planted_truth,
    real_session_truth,
)
from codex_loop_assets.measure.truth import Truth
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.baseline import RegexBaseline
from codex_loop_assets.signals.judges.local import LocalJudge
from codex_loop_assets.signals.judges.local.shipping import decided
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.session_tables import canon_of

FIXTURES = Path(__file__).parents[3] / "fixtures"
LANGUAGES = ("en", "zh", "ja", "es", "de", "fr")
_NOW = datetime(2030, 1, 1, tzinfo=UTC)
_ORDER = (
    "by", "why", "labelled", "findings", "precision", "recall", "f1", "baseline_findings",
    "baseline_precision", "baseline_recall", "baseline_f1", "gain", "sets",
)  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """A set of labelled sessions."""

    truth: Truth
    canon: CanonTables

    def judged(self, categories: Mapping[str, Any] | None = None) -> Judged:
        """What the local judge (as configured, unless `categories` says otherwise) and the baseline find there."""
        judges = (LocalJudge(categories=categories), RegexBaseline())
        found, guessed = (judge_day(self.canon, load_schema(), judge, _NOW)[0] for judge in judges)
        return Judged(self.truth, self.canon.turns, found, guessed)


def fixtures() -> Labelled:
    """The fixtures' sessions for tuning: those without a held-out moment."""
    path = FIXTURES / "truth.json"
    truth = fixture_truth(path, split="tune")
    moments = json.loads(path.read_text("utf-8"))["moments"]
    held_out = {row["thread_id"] for row in moments if row.get("split") == "held_out"}
    kept = {thread: language for thread, language in truth.languages.items() if thread not in held_out}
    return Labelled(replace(truth, name="fixtures", languages=kept), canon_of(FIXTURES / "codex_home"))


def invented(labelled: Path) -> Labelled:
    """The invented conversations with an even number."""
    rows = planted_conversations((labelled / "planted").glob("*.jsonl"), "even")
    return Labelled(replace(planted_truth(rows, "even"), name="invented"), planted_canon(rows))


def real(labelled: Path, home: Path) -> Labelled:
    """The labelled real sessions; `home` is an empty folder that becomes a Codex home of links to them."""
    labels = labelled / "labels_dev.jsonl"
    for name in sorted({json.loads(line)["file"] for line in labels.read_text("utf-8").splitlines()}):
        source = (labelled.parent / name).resolve()
        link = home / "sessions" / "2025" / "01" / "01" / source.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)
    canon = canon_of(home)
    return Labelled(real_session_truth(labels, canon.spines, name="real"), canon)


def figures(sets: Sequence[Labelled]) -> dict[str, Any]:
    """The content of config/local_categories.toml."""
    law = section("scorecard")["local"]
    names = sorted(section("local_judge")["decision"]["threshold"])
    rows: dict[str, dict[str, Any]] = {name: {"by": "model"} for name in names}
    taken_out = names
    while taken_out:
        judged = [item.judged({"categories": rows}) for item in sets]
        measured = {name: compare(judged, name) for name in names if rows[name]["by"] == "model"}
        for name, found in measured.items():
            by, why = decided(name, found, law)
            rows[name] = {"by": by, "why": why, **found}
        taken_out = [name for name in measured if rows[name]["by"] != "model"]
    return {
        "categories": rows,
        "types": {"any_friction": compare(judged, "any_friction")},
        "languages": {name: compare(judged, "any_friction", name) for name in LANGUAGES},
    }


def as_toml(content: Mapping[str, Any]) -> str:
    """The file, with a heading that says what it is."""
    lines = [
        "# Who looks for each semantic category without a key, and the figures that say so: made by",
        "# `python -m codex_loop_assets_tests.signals.judges.evidence`, by the law of scorecard.toml, [local]. Not edited by",
        "# hand; a home's config.toml may switch a category: [local_categories.categories.NAME] with by = model, rule or none.",
        "#",
        "# Exact message, on labelled sessions for tuning (fixtures, invented conversations, real sessions): thresholds were",
        "# chosen on them, so precision and recall are optimistic. `gain` is the 95 % interval of F1 minus the baseline's,",
        "# bootstrap by session, paired; `sets` the labels and the gain in each set. The figures of a category that is not",
        "# looked for are those it had when it was.",
    ]
    for group, rows in content.items():
        for name, row in rows.items():
            lines += ["", f"[{group}.{name}]"]
            lines += [f"{key} = {_value(row[key])}" for key in _ORDER if row.get(key) is not None]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def main(labelled: Path) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        sets = [fixtures(), invented(labelled), real(labelled, Path(folder))]
        print(as_toml(figures(sets)), end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
