"""Laws of what a model writes for a task: only with a key, within the budget, paid for once, marked, and never taken on trust."""

from __future__ import annotations

import json
import tomllib

import pytest
from openai import OpenAI

from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.distill.llm_instruction import invented
from codex_loop_assets.distill.model import Model
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.task_model import open_task_model
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import (
    CALC_FILES,
    NOW,
    Session,
    calc_world,
    canon,
    git,
    members,
    repository,
)
from codex_loop_assets_tests.openai_server.server import OpenAiServer


class Writer:
    """What the server's model answers: a script to a request for a check, words to one for an instruction."""

    def __init__(self) -> None:
        self.script = "grep -q '^# the' README.md"
        self.instruction = "Mend the addition in calc.py."

    def __call__(self, body) -> dict:
        if body["text"]["format"]["name"] == "verifier":
            return {"script": self.script, "reason": "a matter of taste"}
        return {"instruction": self.instruction}


@pytest.fixture
def server():
    with OpenAiServer(Writer()) as running:
        yield running


def model_at(server, directory, budget: float = 5.0) -> Model:
    settings = section("distill", {"distill": {"llm": {"model": "gpt-5-mini"}}})
    judge = section("llm_judge") | {"daily_budget_usd": budget, "max_attempts": 1}

    def client() -> OpenAI:
        return OpenAI(api_key="any", base_url=server.url, max_retries=0)

    return Model(directory, client, settings["llm"], judge, section("prices"))


def distilled(tmp_path, session, repositories, model) -> dict:
    (row,) = distil_cluster(
        "c",
        members(session),
        canon(session),
        repositories,
        tmp_path / "home",
        section("distill"),
        NOW,
        redact=lambda text, thread: text,
        model=model,
    ).to_dicts()
    return row


def free_wording(tmp_path, model) -> dict:
    if not (tmp_path / "calc").exists():
        repository(tmp_path / "calc", CALC_FILES)
    commit = git(tmp_path / "calc", "rev-parse", "HEAD")
    session = Session("t1", commit).ask("find a nicer heading for the README")
    session.patch({"README.md": ("# calc\n", "# the calculator of champions\n")}).signal("fast_completion", "delight")
    return distilled(tmp_path, session, {"https://example.org/ann/calc.git": tmp_path / "calc"}, model)


LONG = "please mend the addition in calc.py, it has been wrong since last week and everybody complains " * 6


def long_request(tmp_path, model) -> tuple[str, dict]:
    """The instruction and metadata of a task whose request is long."""
    session, repositories = calc_world(tmp_path / "calc")
    for turn in session.turns:
        turn["user_message"] = LONG
    row = distilled(tmp_path, session, repositories, model)
    task = tmp_path / "home" / row["task_dir"]
    return (task / "instruction.md").read_text(), tomllib.loads((task / "task.toml").read_text())["metadata"]


def test_a_written_check_is_marked_paid_for_once_and_in_the_judges_ledger(tmp_path, server):
    row = free_wording(tmp_path, model_at(server, tmp_path / "judge"))
    assert (row["stage"], row["verifier_kind"], row["reason"]) == ("built", "llm", "")
    task = tmp_path / "home" / row["task_dir"]
    assert (task / "tests" / "check.sh").read_text() == server.model.script + "\n"
    assert 'verifier_model = "gpt-5-mini"' in (task / "task.toml").read_text()
    assert free_wording(tmp_path, model_at(server, tmp_path / "judge")) == row
    assert server.count("POST", "/v1/responses") == 1
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "judge" / "spending.jsonl").read_text().splitlines()]
    assert kinds == ["reserve", "settle"]


@pytest.mark.parametrize("script", ["", "if", "cat /solution/solution.patch", "x" * 9000])
def test_what_is_no_honest_check_leaves_the_task_for_review(tmp_path, server, script):
    server.model.script = script
    row = free_wording(tmp_path, model_at(server, tmp_path / "judge"))
    assert row["verifier_kind"] == "none" and "/needs_review/" in row["task_dir"]


def test_a_budget_that_is_used_up_leaves_the_users_words_and_the_task_for_review(tmp_path, server):
    row = free_wording(tmp_path, model_at(server, tmp_path / "judge", budget=0.0))
    assert row["verifier_kind"] == "none" and "budget" in row["reason"]
    assert server.calls == []


def test_without_a_key_there_is_no_model(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    home = Home(tmp_path / "home")
    home.initialise()
    assert open_task_model(home) is None
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    assert open_task_model(home) is not None


def test_a_long_request_is_condensed_by_the_model_and_marked(tmp_path, server):
    text, metadata = long_request(tmp_path, model_at(server, tmp_path / "judge"))
    assert text.startswith("Mend the addition in calc.py.\n") and "complains" not in text
    assert metadata["instruction_model"] == "gpt-5-mini"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Change calc.py so that add says return a + b   # the sum",
        "Mend the addition in calc.py and in secret_module.py.",
        "Mend `Adder` in calc.py.",
        LONG * 2,
    ],
)
def test_an_answer_that_leaks_invents_or_swells_is_not_taken(tmp_path, server, answer):
    server.model.instruction = answer
    text, metadata = long_request(tmp_path, model_at(server, tmp_path / "judge"))
    assert text.startswith(LONG.strip()) and "instruction_model" not in metadata


def test_names_paths_and_numbers_must_be_the_users():
    words = "Fix src/app.py so that parseDate takes 2026-01-01, see issue #41"
    assert invented("parseDate in src/app.py must take 2026-01-01.", words) == []
    assert invented("Use `strptime` in src/dates.py with 3 tries", words) == ["3", "src/dates.py", "strptime"]
