"""Homes and small Codex homes for tests of the wiring. Domain packages have fixtures of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage

from codex_loop_assets import clock
from codex_loop_assets.resources.homes import VARIABLE, Home

# Files whose tests take longest, in the order in which they are given to the workers.
LONGEST = (
    "test_demo.py",
    "test_outlets.py",
    "test_runs.py",
    "test_cluster_runs.py",
    "test_write_faults.py",
    "test_guide.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: started last, one of them would keep a single worker busy for minutes."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def no_dagster_storage_outlives_its_test():
    """Undo what an instance leaves in Dagster's context variable of the current storage.

    Instances that are closed in another order than they were opened put a closed one back, and the next test that runs an
    asset in the same process then fails with "undefined DagsterInstance weakref".
    """
    with set_defs_state_storage(None):
        yield


@pytest.fixture
def codex_home(tmp_path) -> Path:
    """A Codex home with three small rollouts on two days."""
    root = tmp_path / "codex"
    write_rollout(root, "2026-03-01", 1, ["make the tests pass", "no, that is the wrong file"])
    write_rollout(root, "2026-03-01", 2, ["add a flag"])
    write_rollout(root, "2026-03-03", 3, ["rename the module"])
    return root


@pytest.fixture
def home(tmp_path, codex_home, monkeypatch) -> Home:
    """An initialised codex-loop home with that Codex home registered; the clock stands at 2026-03-10."""
    home = Home(tmp_path / "home")
    home.initialise()
    home.register(codex_home, name="laptop")
    monkeypatch.setenv(VARIABLE, str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster_home))
    monkeypatch.setenv(clock.VARIABLE, "2026-03-10T00:00:00+00:00")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return home


def write_rollout(root: Path, day: str, number: int, messages: list[str], *, mtime: float = 1_772_400_000.0) -> Path:
    """A stock rollout of one thread with these user messages, each answered, and one failing command in the first turn."""
    thread = f"019c0000-0000-7000-8000-{number:012d}"
    path = root / "sessions" / day.replace("-", "/") / f"rollout-{day}T10-00-00-{thread}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {
        "id": thread,
        "timestamp": f"{day}T10:00:00.000Z",
        "cwd": "/home/ann/app",
        "originator": "codex_cli_rs",
        "cli_version": "0.80.0",
        "source": "cli",
    }
    lines = [("session_meta", meta)]
    for index, message in enumerate(messages):
        lines.append(("event_msg", {"type": "user_message", "message": message, "images": []}))
        if index == 0:
            call = f"call_{number}"
            lines.append(
                (
                    "response_item",
                    {
                        "type": "function_call",
                        "name": "shell_command",
                        "arguments": json.dumps({"command": "make build"}),
                        "call_id": call,
                    },
                )
            )
            output = "Exit code: 2\nWall time: 0.4 seconds\nOutput:\nmake: *** [build] Error 1\n"
            lines.append(("response_item", {"type": "function_call_output", "call_id": call, "output": output}))
        lines.append(("event_msg", {"type": "agent_message", "message": "Done."}))
    stamped = [
        {"timestamp": f"{day}T10:00:{second:02d}.000Z", "type": kind, "payload": payload}
        for second, (kind, payload) in enumerate(lines)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in stamped), encoding="utf-8")
    os.utime(path, (mtime, mtime))
    return path
