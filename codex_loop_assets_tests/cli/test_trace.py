"""`codex-loop trace` on a session with a real repository: each verb reads what the one before wrote, and says how far
it came."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from codex_loop_assets.cli import main
from codex_loop_assets.distill.digest import task_digest
from codex_loop_assets.resources.homes import Home
from codex_loop_assets_tests.conftest import write_rollout
from codex_loop_assets_tests.distill.worlds import repository

THREAD = "019c0000-0000-7000-8000-000000000007"
BEFORE, AFTER = "def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a + b\n"
TEST = "import unittest\n\nfrom calc import add\n\n\nclass T(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n"
CHECK = "python3 -m unittest test_calc"


def trace(arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["trace", *shlex.split(arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A Codex home with a session that repairs `add`, and a codex-loop home that knows the repository."""
    commit = repository(tmp_path / "calc", {"calc.py": BEFORE, "test_calc.py": TEST})
    write_session(tmp_path / "codex", commit)
    home = Home(tmp_path / "home")
    home.initialise()
    home.register_repository("calc", tmp_path / "calc")
    monkeypatch.setenv("CODEX_LOOP_HOME", str(home.root))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    trace(f"bundle --session-id {THREAD} --codex-home codex --output bundle")
    return tmp_path


def write_session(root: Path, commit: str) -> None:
    patch = "*** Begin Patch\n*** Update File: calc.py\n@@\n def add(a, b):\n-    return a - b\n+    return a + b\n*** End Patch"
    git = {"commit_hash": commit, "branch": "main"}
    meta = {
        "id": THREAD,
        "timestamp": "2026-03-01T10:00:00.000Z",
        "cwd": "/home/ann/calc",
        "originator": "codex_cli_rs",
    }
    lines = [
        ("session_meta", meta | {"cli_version": "0.80.0", "source": "cli", "git": git}),
        ("event_msg", {"type": "user_message", "message": "add gives wrong sums, please repair it", "images": []}),
        *shell("call_1", 1, "FAILED (failures=1)"),
        ("response_item", {"type": "custom_tool_call", "name": "apply_patch", "input": patch, "call_id": "call_2"}),
        ("response_item", {"type": "custom_tool_call_output", "call_id": "call_2", "output": json.dumps(
            {"output": "Success. Updated the following files:\nM calc.py\n", "metadata": {"exit_code": 0}}
        )}),
        *shell("call_3", 0, "Ran 1 test in 0.000s\n\nOK"),
        ("event_msg", {"type": "agent_message", "message": "Repaired."}),
        ("event_msg", {"type": "user_message", "message": "thank you, now tell me what a sum is", "images": []}),
        ("event_msg", {"type": "agent_message", "message": "What addition gives."}),
    ]  # fmt: skip
    stamped = [
        {"timestamp": f"2026-03-01T10:00:{second:02d}.000Z", "type": kind, "payload": payload}
        for second, (kind, payload) in enumerate(lines)
    ]
    path = root / "sessions/2026/03/01" / f"rollout-2026-03-01T10-00-00-{THREAD}.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in stamped), encoding="utf-8")


def shell(call: str, code: int, text: str) -> list[tuple[str, dict]]:
    arguments = json.dumps({"command": CHECK, "workdir": "/home/ann/calc"})
    output = f"Exit code: {code}\nWall time: 0.4 seconds\nOutput:\n{text}\n"
    return [
        ("response_item", {"type": "function_call", "name": "shell_command", "arguments": arguments, "call_id": call}),
        ("response_item", {"type": "function_call_output", "call_id": call, "output": output}),
    ]


def test_a_stretch_chosen_by_numbers_or_by_turn_ids_becomes_the_same_task_with_its_labels(world):
    labels = "--signal-type friction --signal-category exec_failure --cluster-id clu_1"
    told = json.loads(trace(f"distill --bundle bundle --output task --start-seq 2 --end-seq 9 {labels}"))
    assert (told["thread_id"], told["start_seq"], told["environment"]) == (THREAD, 2, "hermetic")
    assert (told["status"], told["verifier"]) == ("unvalidated", "command")
    assert "oracle" in told["reason"]
    metadata = tomllib.loads((world / "task" / "task.toml").read_text())["metadata"]
    assert (metadata["signal_type"], metadata["signal_category"], metadata["cluster_id"]) == (
        "friction",
        "exec_failure",
        "clu_1",
    )
    turn = metadata["source_turn_ids"][0]
    again = json.loads(
        trace(f"distill --bundle bundle --output again --start-turn-id {turn} --end-turn-id {turn} {labels}")
    )
    assert again["digest"] == told["digest"] == task_digest(world / "task")


def test_a_stretch_that_shows_no_work_is_refused_with_the_reason(world):
    assert "no recorded edit" in trace("distill --bundle bundle --output task --start-seq 10 --end-seq 11", code=1)
    assert not (world / "task").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--start-seq 2", "both --start-seq and --end-seq"),
        ("--start-turn-id nowhere --end-turn-id nowhere", "no turn has the id"),
        ("--start-seq 900 --end-seq 901", "no turn holds a record"),
    ],
)
def test_a_stretch_that_is_not_there_is_a_message(world, options, said):
    assert said in trace(f"distill --bundle bundle --output task {options}", code=1)


def test_tasks_become_a_dataset_whose_script_quotes_what_it_is_given(world):
    trace("distill --bundle bundle --output task --start-seq 2 --end-seq 9 --signal-type friction")
    trace("dataset --task task --output set --agent codex --model 'm; touch canary'")
    assert task_digest(world / "set" / "task") == task_digest(world / "task")
    (proof,) = json.loads((world / "set" / "trace_evidence.json").read_text())
    assert proof["metadata"]["source_thread_id"] == THREAD
    described = tomllib.loads((world / "set" / "dataset.toml").read_text())
    assert [task["digest"] for task in described["tasks"]] == [task_digest(world / "task")]
    command = shlex.split((world / "set" / "harbor_run.sh").read_text().splitlines()[-1])
    assert command[command.index("--model") + 1] == "m; touch canary"


def test_a_dataset_takes_in_neither_a_folder_without_a_task_nor_a_link_nor_two_of_one_name(world):
    trace("distill --bundle bundle --output task --start-seq 2 --end-seq 9")
    (world / "empty").mkdir()
    assert "no task.toml" in trace("dataset --task task --task empty --output set", code=1)
    assert "more than one task" in trace("dataset --task task --task task --output set", code=1)
    (world / "task" / "tests" / "link").symlink_to(world / "calc" / "calc.py")
    assert "symbolic link" in trace("dataset --task task --output set", code=1)
    assert not (world / "set").exists()


def test_a_run_without_harbor_says_how_to_get_it(world, monkeypatch):
    trace("distill --bundle bundle --output task --start-seq 2 --end-seq 9")
    monkeypatch.setenv("CODEX_LOOP_HARBOR", str(world / "none"))
    assert "uv tool install harbor" in trace("dataset --task task --output set --run", code=1)


@pytest.mark.parametrize("version", ["ATIF-v1.4", "v1.7"])
def test_a_bundle_becomes_trajectories_in_the_version_asked_for(world, version):
    told = json.loads(trace(f"atif --bundle bundle --output out --schema-version {version} --split-compaction"))
    document = json.loads((world / "out" / "trajectory.json").read_text())
    assert told["files"] == ["out/trajectory.json"]
    assert document["schema_version"] == f"ATIF-{version.removeprefix('ATIF-')}"
    assert [step["source"] for step in document["steps"]].count("user") == 2
    assert "/home/ann" not in json.dumps(document)


def test_no_verb_writes_into_a_folder_that_holds_something(world):
    (world / "mine").mkdir()
    (world / "mine" / "note").write_text("mine")
    for verb in (
        f"bundle --session-id {THREAD} --codex-home codex",
        "atif --bundle bundle",
        "distill --bundle bundle --start-seq 2 --end-seq 9",
        "dataset --task bundle",
    ):
        assert "not an empty folder" in trace(f"{verb} --output mine", code=1)
    assert [path.name for path in (world / "mine").iterdir()] == ["note"]


def test_the_registered_homes_are_searched_and_an_unknown_session_is_a_message(world):
    write_rollout(world / "codex", "2026-03-02", 8, ["hello there"])
    Home(world / "home").register(world / "codex")
    trace("bundle --session-id 019c0000-0000-7000-8000-000000000008 --output other")
    assert "no session" in trace("bundle --session-id nobody --output nothing", code=1)
