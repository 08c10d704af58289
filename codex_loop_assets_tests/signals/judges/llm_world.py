"""Sessions, categories and a judge wired to the local server: what the tests of the LLM judge share."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codex_loop_assets.resources.judge import JudgeAccess
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.base import Transcript, TranscriptTurn
from codex_loop_assets.signals.judges.llm import LlmJudge, open_llm_judge
from codex_loop_assets.signals.judges.llm.governor import Governor
from codex_loop_assets.signals.schema import Category, SignalSchema
from codex_loop_assets_tests.openai_server import phrase_model

PHRASES = {"not what I asked": "correction", "thank you so much": "positive_feedback", "use tabs everywhere": "style"}
MODEL = phrase_model(PHRASES)
STYLE = Category(
    name="style", type="friction", definition="The person has to repeat a rule of style.", status="promoted"
)
QUICK = {"backoff_first_seconds": 0.001, "backoff_max_seconds": 0.005, "timeout_seconds": 20}


BATCH = {
    "mode": "batch",
    "batch": {"max_requests": 100, "max_bytes": 10_000_000, "grace_seconds": 0, "max_submissions": 3},
}

# Processes to be killed start from a server that has imported everything once, and has no threads.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["openai", __name__])


def schema(*more: Category) -> SignalSchema:
    """Two built-in categories, and more."""
    base = (
        Category(name="correction", type="friction", definition="The person corrects what the agent did."),
        Category(name="positive_feedback", type="delight", definition="The person is pleased."),
    )
    return SignalSchema(categories={category.name: category for category in (*base, *more)})


def session(thread_id: str, *messages: str, agent: str = "Done.") -> Transcript:
    """A session in which a person typed these messages."""
    turns = (
        TranscriptTurn(thread_id, 0, 10 * number, 10 * number + 9, message, agent, f"t{number}")
        for number, message in enumerate(messages, 1)
    )
    return Transcript(thread_id, tuple(turns))


def friction(thread_id: str) -> Transcript:
    return session(thread_id, "fix the failing test", f"no, that is not what I asked in {thread_id}")


def open_judge(
    home: Path,
    environment: Mapping[str, str],
    changes: Mapping[str, Any] | None = None,
    clock: Callable[[], datetime] | None = None,
) -> LlmJudge:
    """A judge of the home `home` that asks the server which the environment names."""
    settings = section("llm_judge", {"llm_judge": {**QUICK, **(changes or {})}})
    access = JudgeAccess(environment)
    return open_llm_judge(home, access.client, settings, clock=clock or (lambda: datetime.now(UTC)))


SESSIONS = [friction("one"), session("two", "add a flag", "thank you so much"), session("three", "add a test")]


def judge_then_wait(home: Path, environment: Mapping[str, str], done: Any, changes: Mapping[str, Any]) -> None:
    """What a process does that is going to be killed: judge, say that it is done, and stay."""
    open_judge(home, environment, changes).judge_many(SESSIONS, schema())
    done.set()
    time.sleep(600)


def wait_and_kill(process: Any, until: Callable[[], bool]) -> None:
    """Start a process and kill it (-9) as soon as `until()` holds."""
    process.start()
    try:
        deadline = time.monotonic() + 60
        while not until() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert until(), "the process never came where it should be killed"
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL


def reserve_often(ledger: Path, name: str, granted: Any) -> None:
    """What a process does that competes for a budget of one dollar."""
    governor = Governor(ledger, 1.0)
    granted.put(sum(governor.reserve([(f"{name}-{number}", 0.03)])[0] for number in range(25)))
