"""Laws of recognising checks and of choosing the one that proves a piece of work."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.distill.checks import choose, outcomes, recognise
from codex_loop_assets.distill.shell_words import NotSimple, Simple, parse, render
from codex_loop_assets.distill.verifier import summary
from codex_loop_assets.settings import section

SETTINGS = section("distill")
ROOT = "/home/ann/calc"


@pytest.mark.parametrize(
    ("command", "kind", "line"),
    [
        ("pytest -q", "test", "pytest -q"),
        (
            "cd /home/ann/calc && PYTHONPATH=src python -m pytest tests/test_a.py 2>&1",
            "test",
            "PYTHONPATH=src python -m pytest tests/test_a.py",
        ),
        (".venv/bin/pytest -q", "test", ".venv/bin/pytest -q"),
        ("source .venv/bin/activate && pytest", "test", "pytest"),
        ("npm run lint && npm test", "test", "npm run lint && npm test"),
        ("node --test test/*.test.js", "test", "node --test test/*.test.js"),
        ("sh scripts/lint.sh", "lint", "sh scripts/lint.sh"),
        ("bash -n bin/run", "build", "bash -n bin/run"),
        ("ruff check .", "lint", "ruff check ."),
        ("pytest /home/ann/calc/tests -k 'a or b'", "test", "pytest /app/tests -k 'a or b'"),
    ],
)
def test_checks_are_recognised_by_what_they_start(command, kind, line):
    check = recognise(command, ROOT, ROOT, SETTINGS)
    assert check is not None and (check.kind, check.line) == (kind, line)


@pytest.mark.parametrize(
    "command",
    [
        "ls",
        "cat tests/test_a.py",
        "git status",
        "pytest || true",
        "pytest; true",
        "pytest | grep passed",
        "echo $(pytest)",
        "pytest `id`",
        "pytest > out.txt",
        "pytest\ntrue",
        "make && ls",
        "makedirs",
        "cd /tmp && pytest",
        "pytest & sleep 1",
        "echo pytest",
        "pytest $HOME",
    ],
)
def test_what_proves_nothing_or_is_more_than_simple_commands_is_no_check(command):
    assert recognise(command, ROOT, ROOT, SETTINGS) is None


def test_the_directory_of_a_check_is_kept_relative_to_the_repository():
    check = recognise("cd packages/a && npm test", ROOT, ROOT, SETTINGS)
    assert check is not None and check.directory == "packages/a"


WORDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None)
@given(WORDS)
def test_rendered_words_reach_a_program_unchanged(words):
    plain = [word.translate(str.maketrans("", "", "*?[]=")) or "x" for word in words]
    script = render(Simple((), ("printf", "%s\\0", *plain)))
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == plain


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_command_line_is_parsed_or_refused(text):
    try:
        commands = parse(text, ["tail"])
    except NotSimple as error:
        assert str(error)
    else:
        assert all(command.words for command in commands)


def call(seq: int, command: str, code: int | None) -> dict:
    return {"run": 0, "seq_start": seq, "name": "shell", "command": command, "cwd": ROOT, "exit_code": code}


def proof(calls: list[dict], edits: list[int]):
    return choose(outcomes(calls, ROOT, SETTINGS), [(0, seq) for seq in edits])


def test_the_check_that_failed_before_an_edit_and_passed_after_it_is_chosen():
    found = proof([call(1, "pytest -q", 1), call(3, "pytest -q", 0), call(4, "ls", 0)], [2])
    assert found is not None and (found.check.line, found.failed_at, found.passed_at) == ("pytest -q", (0, 1), (0, 3))


def test_a_check_that_failed_again_in_the_end_proves_nothing():
    assert proof([call(1, "pytest", 1), call(3, "pytest", 0), call(5, "pytest", 1)], [2, 4]) is None


def test_a_pass_without_an_edit_in_between_proves_nothing():
    assert proof([call(1, "pytest", 1), call(2, "pytest", 0)], [3]) is None


def test_a_test_goes_before_a_lint():
    calls = [call(1, "ruff check .", 1), call(2, "pytest", 1), call(4, "pytest", 0), call(5, "ruff check .", 0)]
    assert proof(calls, [3]).check.kind == "test"


@pytest.mark.parametrize("code", [None, -1, 124, 127])
def test_a_command_that_never_ran_is_no_failure(code):
    found = proof([call(1, "pytest", code), call(3, "pytest", 0)], [2])
    assert found is not None and found.failed_at is None


def test_a_summary_asks_for_the_number_of_tests_seen_where_a_program_counts_files():

    summaries = SETTINGS["checks"]["summaries"]
    node = recognise("node --test test/a.test.js", ROOT, ROOT, SETTINGS)
    assert summary(node, "ok 1\n# pass 3\n# fail 0\n", summaries) == "^(#|ℹ) pass 3$"
    assert summary(node, "", summaries) == "^(#|ℹ) pass [1-9][0-9]*$"
    assert summary(recognise("pytest -q", ROOT, ROOT, SETTINGS), "4 passed", summaries) == "[1-9][0-9]* passed"
    assert summary(recognise("make test", ROOT, ROOT, SETTINGS), "ok", summaries) is None
