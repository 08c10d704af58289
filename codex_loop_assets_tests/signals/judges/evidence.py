"""Which categories the local judge may look for: `python -m codex_loop_assets_tests.signals.judges.evidence LABELLED_DIR`.

Scores the judge beside the regex baseline, on sessions for tuning only: the fixtures' (none of a session with a held-out
moment), the invented conversations with an even number, and the labelled real ones. First with every category on: those
that may not be looked for are taken out, and the others are scored again as they are then found, until all may stay.
Prints config/local_categories.toml: who looks for each category, with the figures that say so. With `--held-out` in place
of the directory: config/held_out.toml, what the judge that ships makes of the held-out conversations, which are for nothing
else.
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
from codex_loop_assets.signals.judges.local.shipping import by_category, decided
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.session_tables import canon_of
from fixtures.held_out.__main__ import DEFAULT_SEED
from fixtures.held_out.home import generate

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


def held_out(folder: Path) -> Labelled:
    """The held-out conversations, written into an empty folder."""
    generate(folder, DEFAULT_SEED)
    return Labelled(replace(fixture_truth(folder / "truth.json"), name="held_out"), canon_of(folder / "codex_home"))


def held_out_figures(conversations: Labelled) -> dict[str, Any]:
    """The content of config/held_out.toml: figures of the judge that ships, for what it looks for."""
    judged = [conversations.judged()]
    looked_for = [name for name, by in by_category(section("local_categories")).items() if by != "none"]

    def measured(category: str, language: str | None = None) -> dict[str, Any]:
        found = compare(judged, category, language)
        return {key: value for key, value in found.items() if key != "sets"}

    return {
        "measured": {"judge": LocalJudge().version, "conversations": len(conversations.truth.languages)},
        "categories": {name: measured(name) for name in looked_for},
        "types": {"any_friction": measured("any_friction")},
        "languages": {name: measured("any_friction", name) for name in LANGUAGES},
    }


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


_HEADING = """\
# Who looks for each semantic category without a key, and the figures that say so: made by
# `python -m codex_loop_assets_tests.signals.judges.evidence`, by the law of scorecard.toml, [local]. Not edited by
# hand; a home's config.toml may switch a category: [local_categories.categories.NAME] with by = model, rule or none.
#
# Exact message, on labelled sessions for tuning (fixtures, invented conversations, real sessions): thresholds were
# chosen on them, so precision and recall are optimistic. `gain` is the 95 % interval of F1 minus the baseline's,
# bootstrap by session, paired; `sets` the labels and the gain in each set. The figures of a category that is not
# looked for are those it had when it was.
"""
_HELD_OUT_HEADING = """\
# What the local judge of this version makes of conversations that had no part in making it (fixtures/held_out): made by
# `python -m codex_loop_assets_tests.signals.judges.evidence --held-out`, once for a version that ships; a test holds the
# file to the judge. Not edited by hand, and no reason to change the judge: conversations that a judge was chosen on
# are spent.
#
# Exact message; `gain` as in local_categories.toml. `any_friction` and the languages count moments of categories that
# are not looked for as friction that was missed, unless another category was found at the message.
"""


def as_toml(content: Mapping[str, Any], heading: str = _HEADING) -> str:
    """A file of figures under a heading that says what it is."""
    lines = [heading.rstrip("\n")]
    for group, rows in content.items():
        if group == "measured":
            lines += ["", "[measured]", *(f"{key} = {_value(value)}" for key, value in rows.items())]
            continue
        for name, row in rows.items():
            lines += ["", f"[{group}.{name}]"]
            lines += [f"{key} = {_value(row[key])}" for key in _ORDER if row.get(key) is not None]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def main(given: str) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        folder = Path(name)
        if given == "--held-out":
            print(as_toml(held_out_figures(held_out(folder)), _HELD_OUT_HEADING), end="")
            return
        sets = [fixtures(), invented(Path(given)), real(Path(given), folder)]
        print(as_toml(figures(sets)), end="")


if __name__ == "__main__":
    main(sys.argv[1])
