"""Laws of promoted categories: found by likeness in any message, by a threshold learnt from the examples."""

from __future__ import annotations

import pytest

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.base import verify
from codex_loop_assets.signals.judges.local import LocalJudge
from codex_loop_assets.signals.judges.local.promoted import Examples, learn
from codex_loop_assets.signals.schema import SignalSchema, load_schema
from codex_loop_assets_tests.signals.judges.conversation import transcript

SETTINGS = section("local_judge")["promoted"]
POSITIVES = (
    "the lockfile was edited by hand, please use the package manager",
    "do not edit the lockfile by hand, run the package manager",
    "you edited pnpm-lock.yaml by hand instead of running pnpm install",
    "lockfile edited by hand once more, run pnpm install",
)
NEGATIVES = (
    "please commit the lockfile",
    "what is the lockfile for",
    "run the package manager in ci as well",
    "edit the changelog by hand",
)


def schema(status: str = "approve") -> SignalSchema:
    category = {
        "name": "lockfile_edited", "type": "friction", "definition": "The agent edits a lockfile by hand.",
        "severity": 3, "positives": POSITIVES, "hard_negatives": NEGATIVES,
    }  # fmt: skip
    return load_schema([{"kind": status, "category": category, "category_name": "lockfile_edited"}])


def found(message: str, known: SignalSchema) -> list:
    session = transcript([("hello, look at the build", "It passes."), (message, "Done.")])
    findings, rejected = verify(LocalJudge().judge(session, known).findings, session, known)
    assert rejected == 0
    return [item for item in findings if item.category == "lockfile_edited"]


def test_a_promoted_category_is_found_in_a_message_like_its_positives() -> None:
    (finding,) = found("the lockfile has been edited by hand, use pnpm install", schema())
    assert (finding.seq_start, finding.severity, finding.type) == (11, 3, "friction")


@pytest.mark.parametrize("message", [*NEGATIVES, "add a dark theme", "thanks", "", "???"])
def test_a_hard_negative_or_another_topic_does_not_show_it(message: str) -> None:
    assert found(message, schema()) == []


def test_before_the_approval_nothing_is_found() -> None:
    assert found("the lockfile has been edited by hand, use pnpm install", schema("reject")) == []


def test_unlike_positives_do_not_teach_that_everything_is_alike() -> None:
    detector = learn(["the red door", "un gato duerme", "compile the kernel"], [], SETTINGS)
    assert detector.threshold >= SETTINGS["floor"]
    assert detector.confidences(Examples.of(["please add a test for the parser"])) == [None]


def test_confidence_falls_with_hard_negatives_that_cannot_be_told_apart() -> None:
    clear = learn(POSITIVES, NEGATIVES, SETTINGS)
    muddled = learn(POSITIVES, (*NEGATIVES, *(f"{text}!" for text in POSITIVES)), SETTINGS)
    assert muddled.precision < clear.precision


def test_chinese_messages_are_compared_by_characters() -> None:
    detector = learn(["不要手动修改锁文件", "锁文件又被手动修改了"], ["提交锁文件"], SETTINGS)
    shown = detector.confidences(Examples.of(["锁文件被手动修改了，不要这样", "加一个深色主题"]))
    assert shown[0] is not None
    assert shown[1] is None


def test_without_examples_nothing_is_found() -> None:
    assert learn([], [], SETTINGS).confidences(Examples.of(["anything"])) == [None]
