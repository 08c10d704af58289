"""Small worlds for distillation tests: a real Git repository made on the spot, and a session over it as rows of the
canonical tables.
"""

from __future__ import annotations

import difflib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from codex_loop_assets.signals.model import CanonTables, signal_id
from codex_loop_assets.tables import EVENTS, SESSIONS, SIGNALS, SPINES, TOOL_CALLS, TURNS

START = datetime(2026, 2, 10, 9, tzinfo=UTC)
NOW = datetime(2026, 3, 24, tzinfo=UTC)


def git(directory: Path, *arguments: str) -> str:
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@localhost",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@localhost",
        "GIT_AUTHOR_DATE": "@1700000000 +0000",
        "GIT_COMMITTER_DATE": "@1700000000 +0000",
    }
    return subprocess.run(
        ["git", "-C", str(directory), *arguments], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


def repository(directory: Path, files: Mapping[str, str]) -> str:
    """Make a repository with one commit of these files; the commit."""
    for path, text in files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if text.startswith("#!"):
            file.chmod(0o755)
    git(directory, "init", "--quiet", "--initial-branch=main")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "first")
    return git(directory, "rev-parse", "HEAD")


def hunks(before: str, after: str) -> str:
    """A unified diff without file headers, as Codex records an update."""
    rows = difflib.unified_diff(_lines(before), _lines(after), n=3, lineterm="")
    return "".join(f"{row}\n" for row in list(rows)[2:])


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


@dataclass
class Session:
    """A session under construction: each method adds the next record."""

    thread_id: str
    commit: str | None = None
    cwd: str = "/home/ann/calc"
    repository_url: str | None = "https://example.org/ann/calc.git"
    facts: dict = field(default_factory=dict)
    turns: list[dict] = field(default_factory=list)
    calls: list[dict] = field(default_factory=list)
    signals: list[dict] = field(default_factory=list)
    seq: int = 0

    def _next(self) -> tuple[int, datetime]:
        self.seq += 1
        return self.seq, START + timedelta(minutes=self.seq)

    def ask(self, text: str, **facts: object) -> Session:
        seq, at = self._next()
        turn = {
            "thread_id": self.thread_id,
            "run": 0,
            "turn_id": str(len(self.turns)),
            "seq_start": seq,
            "seq_end": seq,
            "occurred_at": at,
            "turn_index": len(self.turns),
            "user_message": text,
            "end_state": "completed",
            "source": "spine",
            "kind": "prompt",
            "human": True,
            "rolled_back": False,
            "interrupted": False,
            "undone": False,
            "compaction_count": 0,
            "tool_call_count": 0,
            "failed_tool_call_count": 0,
        }
        self.turns.append(turn | facts)
        return self

    def _call(self, name: str, **facts: object) -> Session:
        seq, at = self._next()
        self.turns[-1]["seq_end"] = seq
        call = {
            "thread_id": self.thread_id,
            "run": 0,
            "turn_id": self.turns[-1]["turn_id"],
            "call_id": f"call_{seq}",
            "seq_start": seq,
            "seq_end": seq,
            "occurred_at": at,
            "name": name,
            "cwd": self.cwd,
            "status": "completed",
            "approval_requests": 0,
            "ambiguous_approval": False,
            "actor": "agent",
            "source": "spine",
        }
        self.calls.append(call | facts)
        return self

    def run(self, command: str, exit_code: int, **facts: object) -> Session:
        return self._call("shell", command=command, exit_code=exit_code, success=exit_code == 0, **facts)

    def patch(self, changes: Mapping[str, tuple[str | None, str | None]]) -> Session:
        """Apply changes: path -> (before, after), None for absent."""
        recorded = {}
        for path, (before, after) in changes.items():
            name = path if path.startswith("/") else f"{self.cwd}/{path}"
            if before is None:
                recorded[name] = {"type": "add", "content": after}
            elif after is None:
                recorded[name] = {"type": "delete"}
            else:
                recorded[name] = {"type": "update", "unified_diff": hunks(before, after), "move_path": None}
        return self._call("apply_patch", changes=json.dumps(recorded), success=True, paths=sorted(recorded))

    def signal(self, category: str = "exec_failure", kind: str = "friction", **facts: object) -> Session:
        """A signal about the newest record."""
        row = {
            "signal_id": signal_id(self.thread_id, 0, self.seq, category),
            "thread_id": self.thread_id,
            "run": 0,
            "turn_id": self.turns[-1]["turn_id"],
            "seq_start": self.seq,
            "seq_end": self.seq,
            "type": kind,
            "category": category,
            "severity": 2,
            "confidence": 0.9,
            "detector": "mechanical",
            "detector_version": "1",
            "schema_version": "1",
            "description": "a command failed",
            "evidence": "[]",
            "detectors": ["mechanical"],
        }
        self.signals.append(row | facts)
        return self

    @property
    def row(self) -> dict:
        return {
            "thread_id": self.thread_id,
            "source": "spine",
            "home": "main",
            "cwd": self.cwd,
            "repository_url": self.repository_url,
            "repository": self.cwd.rsplit("/", 1)[-1],
            "commit_hash": self.commit,
            "turn_count": len(self.turns),
            "human_turn_count": len(self.turns),
            "tool_call_count": len(self.calls),
            "failed_tool_call_count": 0,
            "run_count": 1,
            "compaction_count": 0,
            "error_count": 0,
            "approvals_observable": True,
            "human": True,
            "excluded": False,
            "is_eval": False,
            "outcome": "completed",
            "outcome_reason": "turn ended",
            "started_at": START,
        } | self.facts


def canon(*sessions: Session) -> CanonTables:
    """The canonical tables of these sessions."""
    return CanonTables(
        SPINES.empty(),
        EVENTS.empty(),
        SESSIONS.frame([session.row for session in sessions]),
        TURNS.frame([turn for session in sessions for turn in session.turns]),
        TOOL_CALLS.frame([call for session in sessions for call in session.calls]),
    )


def members(*sessions: Session) -> pl.DataFrame:
    """All signals of these sessions."""
    return SIGNALS.frame([signal for session in sessions for signal in session.signals])


CALC = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n"
CALC_FIXED = CALC.replace("a - b", "a + b")
CALC_TEST = """import unittest

from calc import add


class AddTest(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(2, 3), 5)
"""
CALC_FILES = {"calc.py": CALC, "tests/__init__.py": "", "tests/test_calc.py": CALC_TEST, "README.md": "# calc\n"}


def calc_world(directory: Path) -> tuple[Session, dict[str, Path]]:
    """A Python repository with a failing test, and a session that mends it."""
    commit = repository(directory, CALC_FILES)
    session = Session("019c1b2e-0000-7000-8000-000000000001", commit)
    session.ask("The addition in calc.py gives wrong results, please make the tests pass.")
    session.run("python3 -m unittest discover -s tests -t .", 1).signal()
    session.patch({"calc.py": (CALC, CALC_FIXED)})
    session.run("python3 -m unittest discover -s tests -t .", 0)
    return session, {"https://example.org/ann/calc.git": directory}
