"""What does not beat the baseline beyond the interval does not ship, and the published figures say so."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.baseline import RegexBaseline
from codex_loop_assets.signals.judges.local import LocalJudge
from codex_loop_assets.signals.judges.local.shipping import by_category, decided, left_out
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.signals.observability import looked_for
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets.tables import JUDGE_COVERAGE
from codex_loop_assets_tests.signals.judges import evidence
from codex_loop_assets_tests.signals.judges.conversation import STARTED, canon, transcript

LABELLED = Path(__file__).parents[3] / "../shared/gold"
SCHEMA = load_schema()
PUBLISHED = section("local_categories")
HELD_OUT = section("held_out")
LAW = section("scorecard")["local"]


@pytest.fixture(scope="module")
def sets() -> Iterator[list[evidence.Labelled]]:
    if not LABELLED.is_dir():
        pytest.skip("labelled conversations are not at hand")
    with TemporaryDirectory() as folder:
        yield [evidence.fixtures(), evidence.invented(LABELLED), evidence.real(LABELLED, Path(folder))]


@pytest.mark.parametrize("name", PUBLISHED["categories"])
def test_every_category_that_ships_beats_the_baseline_or_is_the_baseline(name):
    figures = PUBLISHED["categories"][name]
    if figures["by"] == "model":
        assert figures["gain"][0] > 0 and figures["labelled"] >= LAW["labels"]
        assert figures["f1"] > figures["baseline_f1"] and name not in LAW["failed_test"]
        assert all(part["gain"] >= 0 for part in figures["sets"].values() if part["labelled"] >= LAW["set_labels"])
    if figures["by"] == "rule":
        assert figures["baseline_precision"] >= LAW["rule_precision"]
    assert (figures["by"], figures["why"]) == decided(name, figures, LAW)


@pytest.mark.parametrize("language", PUBLISHED["languages"])
def test_in_every_language_any_friction_is_told_better_than_by_the_baseline_beyond_the_interval(language):
    assert PUBLISHED["languages"][language]["gain"][0] > 0


def test_every_semantic_category_has_published_figures():
    assert PUBLISHED["categories"].keys() == SCHEMA.semantic().keys()
    assert set(PUBLISHED["languages"]) == set(evidence.LANGUAGES)


def test_the_published_figures_are_what_the_labelled_sessions_give(sets):
    again = evidence.figures(sets)
    for group, rows in PUBLISHED.items():
        for name, row in rows.items():
            for key in row:
                expected = again[group][name][key]
                same = row[key] == expected if key in ("by", "why", "sets") else row[key] == pytest.approx(expected)
                assert same, (group, name, key, row[key], expected)


def test_the_held_out_figures_are_of_the_judge_that_ships(tmp_path):
    again = evidence.held_out_figures(evidence.held_out(tmp_path))
    assert HELD_OUT["measured"] == again["measured"]
    for group in ("categories", "types", "languages"):
        assert HELD_OUT[group].keys() == again[group].keys()
        for name, row in HELD_OUT[group].items():
            for key, value in row.items():
                assert value == pytest.approx(again[group][name][key]), (group, name, key)


@pytest.mark.parametrize("name", [*HELD_OUT["categories"], *HELD_OUT["types"]])
def test_on_held_out_conversations_what_ships_beats_the_baseline_beyond_the_interval(name):
    assert (HELD_OUT["categories"] | HELD_OUT["types"])[name]["gain"][0] > 0


def test_a_model_that_does_not_gain_gives_way_to_precise_expressions_and_else_to_nobody():
    good = copy.deepcopy(PUBLISHED["categories"]["correction"])
    assert decided("correction", good, LAW)[0] == "model"
    assert decided("escalation_tone", good, LAW)[0] == "none"
    worse = good | {"gain": [-0.01, 0.2]}
    assert decided("correction", worse, LAW)[0] == "none"
    assert decided("correction", worse | {"baseline_precision": 0.8}, LAW)[0] == "rule"
    assert decided("correction", good | {"sets": {"one": {"labelled": 40, "gain": -0.05}}}, LAW)[0] == "none"
    assert decided("correction", good | {"labelled": 5}, LAW)[0] == "none"


def test_a_category_left_to_the_expressions_is_found_by_them_alone():
    settings = {"categories": {"backtracking": {"by": "rule", "baseline_precision": 0.75}}}
    session = transcript([("add a field", "Added."), ("undo that, please", "Undone."), ("put it as it was", "Done.")])
    findings = LocalJudge(categories=settings).judge(session, SCHEMA).findings
    guessed = RegexBaseline().judge(session, SCHEMA).findings
    assert [(item.seq_start, item.category) for item in findings] == [
        (item.seq_start, item.category) for item in guessed if item.category == "backtracking"
    ]
    assert findings[0].confidence == 0.75
    assert findings[0].description.startswith("The user wants the agent's changes undone")


def test_a_category_that_is_left_out_is_named_in_the_coverage_and_unknown_in_the_session():
    tables = canon({"thread": [("this is useless!!! how many times do I have to say it", "Sorry.")]})
    signals, coverage = judge_day(tables, SCHEMA, LocalJudge(), STARTED.replace(year=2030))
    named = coverage["left_out"].item().to_list()
    assert named == sorted(left_out(PUBLISHED))
    assert not set(signals["category"]) & set(named)
    exposure = pl.DataFrame({"thread_id": ["thread"] * 2, "category": ["escalation_tone", "correction"]})
    assert looked_for(exposure, coverage)["category"].to_list() == ["correction"]


def test_what_one_judge_leaves_out_and_another_looks_for_is_not_unknown():
    def row(detector: str, names: list[str] | None) -> dict:
        return {
            "thread_id": "thread", "detector": detector, "detector_version": "1", "schema_version": "1",
            "status": "judged", "left_out": names, "findings": 0, "rejected": 0, "calls": 0,
        }  # fmt: skip

    exposure = pl.DataFrame({"thread_id": ["thread"], "category": ["escalation_tone"]})
    both = JUDGE_COVERAGE.frame([row("local_judge", ["escalation_tone"]), row("llm_judge", [])])
    assert looked_for(exposure, both).equals(exposure)
    assert looked_for(exposure, JUDGE_COVERAGE.frame([row("llm_judge", None)])).equals(exposure)


@pytest.mark.parametrize(
    ("page", "opening"),
    [
        ("README.md", "beats a regex baseline beyond chance"),
        ("docs/guide.md", "beats a regex baseline beyond chance"),
        ("docs/signals.md", "Not looked for then:"),
        ("codex_loop_assets/signals/judges/local/MODEL_CARD.md", "**Not looked"),
    ],
)
def test_the_documentation_names_what_is_left_out_and_nothing_else(page, opening):
    text = (Path(__file__).parents[3] / page).read_text("utf-8")
    after = text.partition(opening)[2][:240]
    named = {name for name in PUBLISHED["categories"] if f"`{name}`" in after}
    assert named == left_out(PUBLISHED).keys()


def test_a_home_may_switch_a_category_on_and_the_version_says_so():
    changed = section("local_categories", {"local_categories": {"categories": {"time_saved": {"by": "model"}}}})
    judge = LocalJudge(categories=changed)
    assert "time_saved" not in judge.left_out(SCHEMA) and judge.version != LocalJudge().version


def test_a_word_that_is_no_choice_is_an_error():
    with pytest.raises(ValueError, match="model, rule or none"):
        by_category({"categories": {"correction": {"by": "sometimes"}}})
