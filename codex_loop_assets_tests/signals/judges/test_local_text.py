"""Laws of splitting a message: only the person's own prose is looked at for cues."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.local import similarity
from codex_loop_assets.signals.judges.local.text import LanguageGuesser, Splitter

SETTINGS = section("local_judge")
SPLITTER = Splitter(SETTINGS["text"])
LANGUAGES = LanguageGuesser(SETTINGS["languages"], SETTINGS["letters"])


@pytest.mark.parametrize(
    "machine",
    [
        "2026-01-04T10:12:02Z ERROR still broken, giving up",
        "Error: Cannot find module './again'",
        "    at undo (/srv/app/history.js:12:5)",
        "Traceback (most recent call last):",
        '  File "revert.py", line 3, in <module>',
        "npm ERR! code ELIFECYCLE",
        "--- FAIL: TestStillWrong (0.00s)",
        "$ git revert HEAD",
        '{"message": "this is wrong"}',
        "const wrong = undo();",
    ],
)
def test_a_machine_line_is_pasted_text_and_no_prose(machine: str) -> None:
    message = SPLITTER.split(f"please look\n{machine}")
    assert message.prose == "please look"
    assert message.pasted == machine


def test_code_and_quotations_are_no_prose() -> None:
    message = SPLITTER.split('rename `undo_all` and the text "this is still wrong!!" please\n```\nrevert()\n```')
    assert message.prose.split() == ["rename", "and", "the", "text", "please"]
    assert (message.quotations, message.code) == (1, 2)


def test_what_a_client_wraps_around_the_request_is_not_the_request() -> None:
    wrapped = "# Context from my IDE setup:\n\n## Active file: undo.py\n\n## My request for Codex:\nadd a docstring"
    assert SPLITTER.split(wrapped).prose == "add a docstring"


def test_of_a_stored_prompt_only_the_arguments_are_the_words_of_the_person() -> None:
    prompt = "## User Input\n\n```text\nuse postgres\n```\n\nYou MUST NOT skip a step. If it fails again, revert.\n"
    message = SPLITTER.split(prompt)
    assert message.prose == "use postgres"
    assert message.template


def test_of_a_document_only_the_ends_are_prose() -> None:
    document = "Please implement this. " + "It must still not fail again. " * 100 + "Start with part 2."
    prose = SPLITTER.split(document).prose
    assert prose.startswith("Please implement this.")
    assert prose.endswith("Start with part 2.")
    assert len(prose) < 600


@given(st.text(max_size=400))
def test_any_text_can_be_split_and_its_lines_are_verbatim(text: str) -> None:
    message = SPLITTER.split(text)
    assert all(line in text for line in message.lines)


@pytest.mark.parametrize(
    ("prose", "language"),
    [
        ("that is not what I asked for", "en"),
        ("das habe ich nicht so gemeint", "de"),
        ("ce n'est pas ce que je veux", "fr"),
        ("eso no es lo que te pedí", "es"),
        ("我不是这个意思", "zh"),
        ("そういう意味ではないです", "ja"),
    ],
)
def test_the_language_of_a_sentence_is_told(prose: str, language: str) -> None:
    assert LANGUAGES.guess(prose, {}) == language


def test_a_short_message_has_the_language_of_the_session() -> None:
    assert LANGUAGES.guess("ok 12", {"de": 9.0}) == "de"


@given(st.text(max_size=60), st.text(max_size=60))
def test_likeness_is_symmetric_and_between_zero_and_one(left: str, right: str) -> None:
    there = similarity.dice(similarity.grams(left), similarity.grams(right))
    back = similarity.dice(similarity.grams(right), similarity.grams(left))
    assert there == back
    assert 0 <= there <= 1


def test_a_pasted_error_is_the_same_when_only_numbers_differ() -> None:
    first = similarity.pasted_lines("[12.5] worker 3: connection refused by peer")
    assert first == similarity.pasted_lines("[99.1] worker 7: connection refused by peer")
