"""exec_failure means that something went wrong: what counts, what does not, and what is one episode."""

from __future__ import annotations

import json

import pytest

from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.session_tables import SessionTables

SCHEMA = load_schema()
RED = "FAILED tests/test_cart.py::test_total - AssertionError: assert 3 == 4\n1 failed, 5 passed"


def failures(session: SessionTables) -> list[dict]:
    found = detect(session.tables(), SCHEMA).to_dicts()
    return [row for row in found if row["category"] == "exec_failure"]


@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        ("npm install", 1, "npm error code ERESOLVE"),
        ("cd web && pnpm install --frozen-lockfile && pnpm test", 1, "ERR_PNPM_OUTDATED_LOCKFILE  Cannot install"),
        ("python3 manage.py migrate", 1, "django.db.utils.OperationalError: no such table: shop_cart"),
        ("python3 -m unittest", 1, "sqlite3.OperationalError: database is locked\nFAILED (errors=7)"),
        ("git push origin main", 128, "fatal: Authentication failed"),
        ("bash scripts/setup.sh --json", 2, "scripts/setup.sh: line 12: syntax error near unexpected token"),
        ("grep --no-such-option x README.md", 2, "grep: unrecognized option '--no-such-option'"),
        ("rg TODO src", 127, "bash: rg: command not found"),
        ("docker build .", 1, "ERROR: failed to solve: process did not complete successfully"),
        ("git ls-remote origin && npm publish", 1, "npm error 403 Forbidden"),
        ('python3 -c "from app import main; main()"', 1, "Traceback (most recent call last):\nKeyError: 'port'"),
        ("curl -fsSL https://example.org/install.sh -o install.sh", 22, "The requested URL returned error: 404"),
        ("curl -fsSL https://example.org/setup.md", 127, "bash: curl: command not found"),
        ("php -l src/cart.php", 255, "PHP Parse error: syntax error, unexpected end of file"),
        ("grep -q cart src/a.py && make deploy", 2, "make: *** [deploy] Error 1"),
        ("rg -n '(' src", 2, "rg: regex parse error:\n    (\n    ^\nerror: unclosed group"),
    ],
)
def test_a_command_that_was_meant_to_work_and_did_not_is_a_failure(command, code, output):
    assert len(failures(SessionTables().ask("set it up").run(command, code, output))) == 1


@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        ("rg -n oldName src", 1, ""),
        ("git branch | grep feature/cart", 1, ""),
        ("cd app && grep -rn TODO . | head", 1, ""),
        ("git grep -n legacy", 1, ""),
        ("diff a.txt b.txt", 1, "1c1\n< a\n---\n> b"),
        ("test -f package-lock.json", 1, ""),
        ("[ -d node_modules ]", 1, ""),
        ("which pyenv", 1, ""),
        ("command -v node", 1, ""),
        ("curl -fsSL https://example.org/docs/setup.md", 22, "curl: (22) The requested URL returned error: 404"),
        ("(Invoke-WebRequest -UseBasicParsing https://example.org/main.py).Content", 1, "404: Not Found"),
        ("git diff --exit-code", 1, "diff --git a/x b/x"),
        ("git rev-parse --verify feature", 128, "fatal: Needed a single revision"),
        ("poetry --version", 127, "bash: poetry: command not found"),
        ('python3 -c "import numpy; print(numpy.__version__)"', 1, "ModuleNotFoundError: No module named 'numpy'"),
        ("curl -s http://localhost:3000/health", 7, "curl: (7) Failed to connect to localhost port 3000"),
        ("docker ps", 1, "Cannot connect to the Docker daemon"),
        ("ls specs/checklists", 2, "ls: cannot access 'specs/checklists': No such file or directory"),
        ("sed -n '1,200p' docs/plan.md", 2, "sed: can't read docs/plan.md: No such file or directory"),
        ("npm start", 130, "^C"),
        ("timeout 20 npm run dev", 124, "ready on http://localhost:3000"),
        ("sed -n '1,80p' src/errors.py && rg -n oldName src", 1, "class FatalError(Exception): ..."),
        ("grep -q cart src/a.py && sed -i s/a/b/ src/a.py", 1, ""),
        ("find . -name '*.py' | xargs grep -l oldName", 123, ""),
        ("yes | head -1", 141, "y"),
        ('git commit -m "update"', 1, "On branch main\nnothing to commit, working tree clean"),
    ],
)
def test_a_negative_answer_is_no_failure(command, code, output):
    assert failures(SessionTables().ask("look around").run(command, code, output)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "declined", "approval": "denied", "exit_code": -1, "output": "exec command rejected by user"},
        {"status": "aborted", "exit_code": None},
        {"status": "timed_out", "exit_code": 124, "output": "command timed out after 10000 milliseconds"},
        {"actor": "user"},
        {"exit_code": -1, "output": "command aborted by user"},
    ],
)
def test_what_was_refused_stopped_or_typed_by_the_person_is_no_failure_of_the_agent(changes):
    call = {"command": "make all", "exit_code": 2, "output": "make: *** [all] Error 1", **changes}
    assert failures(SessionTables().ask().run(**call)) == []


def test_a_test_that_fails_before_any_edit_shows_the_state_that_was_found():
    assert failures(SessionTables().ask("fix the cart").run("pytest -q", 1, RED)) == []


def test_a_test_that_fails_after_the_agents_edit_is_a_failure():
    session = SessionTables().ask("fix the cart").run("pytest -q", 1, RED).patch("src/cart.py").run("pytest -q", 1, RED)
    found = failures(session.patch("src/cart.py").run("pytest -q", 0, "6 passed"))
    assert len(found) == 1 and "a later `pytest` worked" in found[0]["description"]


def test_an_edit_left_unproven_in_an_earlier_turn_makes_the_next_failing_test_a_failure():
    session = SessionTables().ask("fix it").patch("src/cart.py").ask("still red").run("pytest -q", 1, RED)
    assert len(failures(session)) == 1


def test_a_test_written_first_may_fail():
    session = SessionTables().ask("add totals").patch("tests/test_total.py").run("pytest -q", 1, RED)
    assert failures(session.patch("src/cart.py").run("pytest -q", 0, "7 passed")) == []


def test_an_announced_failure_is_none():
    session = SessionTables().ask("fix it").patch("src/cart.py")
    session.say("First I reproduce the bug: this run should fail.").run("pytest -q tests/test_bug.py", 1, RED)
    assert failures(session) == []


@pytest.mark.parametrize(
    "words",
    [
        "This test should fail now.",
        "I expect the suite to fail before the fix.",
        "Let me watch it fail first.",
        "Running it to confirm that the new test fails.",
        "First I reproduce the report.",
        "先复现这个问题。",
        "Der neue Test sollte jetzt fehlschlagen.",
    ],
)
def test_words_that_announce_a_failure(words):
    session = SessionTables().ask("fix it").patch("src/cart.py").say(words)
    assert failures(session.run("pytest -q", 1, RED)) == []


@pytest.mark.parametrize(
    "words",
    [
        "Now the suite should pass.",
        "Let me verify that no test fails.",
        "I make sure nothing breaks.",
        "It should not fail any more.",
        "The old code would fail on empty carts, which I fixed.",
        "Ich prüfe, ob alles läuft.",
    ],
)
def test_words_that_promise_a_success_excuse_nothing(words):
    session = SessionTables().ask("fix it").patch("src/cart.py").say(words)
    assert len(failures(session.run("pytest -q", 1, RED))) == 1


def test_an_announced_failure_of_any_command_is_none():
    session = SessionTables().ask("check the messages").say("A bad port should fail with a clear message.")
    assert failures(session.run("node cli.js --port=abc", 2, "Error: port must be a number")) == []


def test_a_check_that_failed_before_the_edit_and_passed_after_was_the_task():
    session = SessionTables().ask("the build is red").run("npm run build", 1, "error TS2304: Cannot find name 'x'")
    assert failures(session.patch("src/app.ts").run("npm run build", 0, "done")) == []


def test_a_sandbox_refusal_followed_by_a_permitted_run_is_none():
    blocked = "fatal: unable to access 'https://example.org/': Could not resolve host: example.org"
    session = SessionTables().ask("fetch").run("git fetch origin", 128, blocked)
    assert failures(session.run("git fetch origin", 0)) == []
    assert len(failures(SessionTables().ask("fetch").run("git fetch origin", 128, blocked))) == 1


def test_repeated_failures_of_one_thing_are_one_episode_with_all_its_attempts():
    session = SessionTables().ask("set up")
    for script in ("./scripts/setup.sh", "bash scripts/setup.sh --json", "bash ./scripts/setup.sh -v"):
        session.run(script, 2, "setup.sh: line 3: $'\\r': command not found")
    (found,) = failures(session)
    assert len(json.loads(found["evidence"])) == 3
    assert found["severity"] == 3 and "failed 3 times" in found["description"]


def test_a_success_in_between_separates_two_episodes():
    session = SessionTables().ask("deploy").run("make deploy", 2, "Error 1").run("make deploy", 0)
    assert len(failures(session.run("make deploy", 2, "Error 1"))) == 2


def test_different_things_that_fail_are_different_episodes():
    session = SessionTables().ask("deploy").run("npm install", 1, "npm error").run("terraform apply", 1, "Error: x")
    assert len(failures(session)) == 2


def test_a_missing_program_is_one_episode_whatever_it_was_to_do():
    session = SessionTables().ask("inspect").run("python a.py", 127, "bash: python: command not found")
    (found,) = failures(session.run("python b.py", 127, "bash: line 1: python: command not found"))
    assert found["description"].startswith("`python` is not installed")


def test_the_description_says_what_was_run_and_what_went_wrong():
    trace = "Traceback (most recent call last):\n  File 'x'\nKeyError: 'currency'\n"
    (found,) = failures(SessionTables().ask("report").run("cd /srv && python3 report.py", 1, trace))
    assert "`python3 report.py`" in found["description"] and "KeyError: 'currency'" in found["description"]
