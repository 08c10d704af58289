"""Real sessions, recounted by a few independent lines. Skips where they are absent."""

import importlib.util
import json
import re
import shutil
import uuid
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from codex_loop_assets import canon
from codex_loop_assets_tests.traces.building import ingest

SHARED = Path(__file__).parents[3] / "shared"
ROLLOUTS = SHARED / "corpus" / "rollouts"
pytestmark = pytest.mark.skipif(not ROLLOUTS.is_dir(), reason="no corpus of real sessions beside the checkout")

NAME = re.compile(r"rollout-.{19}-([0-9a-f-]{36})\.jsonl$")


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory):
    home = tmp_path_factory.mktemp("rollouts")
    shutil.copytree(ROLLOUTS, home / "sessions")
    return tables(ingest(home))


@pytest.fixture(scope="module")
def spines(tmp_path_factory):
    home = tmp_path_factory.mktemp("spines")
    spec = importlib.util.spec_from_file_location("rewrap", SHARED / "tools" / "rollouts_to_spines.py")
    rewrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rewrap)
    rewrap.main(str(ROLLOUTS), str(home))
    return tables(ingest(home))


def tables(found):
    turns = canon.turns.build(found.events, found.spines)
    calls = canon.tool_calls.build(found.events, found.spines)
    return found, turns, calls, canon.sessions.build(found.events, found.spines, turns, calls)


def genuine() -> dict[str, Path]:
    """Files that Codex itself wrote, by thread."""
    return {
        m[1]: path
        for path in sorted(ROLLOUTS.rglob("*.jsonl"))
        if (m := NAME.search(path.name)) and "inspect" not in str(path)
    }


def records(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_bytes().split(b"\n") if text.strip()]


def test_every_file_and_every_line_is_in_the_ledger(rollouts):
    spines = rollouts[0].spines
    files = list(ROLLOUTS.rglob("*.jsonl"))
    assert spines.height == len(files)
    physical = sum(
        len([t for t in path.read_bytes().split(b"\n")]) - path.read_bytes().endswith(b"\n") for path in files
    )
    assert spines["lines"].sum() == physical
    assert spines["lines_torn"].sum() == 0


def test_every_message_that_a_person_sent_is_a_turn_once(rollouts):
    """Recount: user_message events after the copied part of a fork (which starts with a second session_meta)."""
    _, turns, _, _ = rollouts
    found = {
        thread: [text for text in group["user_message"].to_list() if text]
        for (thread,), group in turns.filter(pl.col("kind") == "prompt").group_by("thread_id", maintain_order=True)
    }
    for thread, path in genuine().items():
        lines = records(path)
        if sum(entry.get("type") == "session_meta" for entry in lines) > 1:
            lines = [entry for entry in lines if entry["timestamp"] > "2025-09-16T06:12:40"]
        sent = [
            e["payload"]["message"]
            for e in lines
            if e.get("type") == "event_msg" and e["payload"].get("type") == "user_message"
        ]
        own = [message.rpartition("## My request for Codex:")[2].strip() for message in sent]
        assert found.get(thread, []) == [message for message in own if message], path.name


def test_every_failed_command_has_its_exit_code(rollouts):
    """Recount: non-zero codes at the start of the outputs, in the two forms of these versions."""
    _, _, calls, _ = rollouts
    pattern = re.compile(r'^Exit code: (-?\d+)\nWall|"metadata":\{"exit_code":(-?\d+)')
    for thread, path in genuine().items():
        codes = {}
        for entry in records(path):
            item = entry.get("payload") or {}
            if item.get("type") in ("function_call_output", "custom_tool_call_output") and isinstance(
                item["output"], str
            ):
                match = (
                    pattern.search(item["output"]) if item["output"].startswith(('{"output"', "Exit code")) else None
                )
                if match:
                    codes[item["call_id"]] = int(match[1] or match[2])
        failed = {call: code for call, code in codes.items() if code}
        rows = calls.filter((pl.col("thread_id") == thread) & (pl.col("exit_code") != 0))
        got = dict(rows.select("call_id", "exit_code").rows())
        copied = {call for call in failed if call not in got and "613a9a68" in thread}
        assert got == {call: code for call, code in failed.items() if call not in copied}, path.name


UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOT_REWRAPPED = {
    # Written in summer 2025, without `type` and `payload`: the tool that rewraps knows no such lines.
    "rollout-2025-06-01T09-00-00-0199aaaa-0000-7000-8000-00000000000a.jsonl",
    # Its authors trimmed all texts to one, so that a prompt cannot be told from its repetition.
    "small.jsonl",
}


def test_both_formats_tell_of_the_same_sessions_messages_and_failures(rollouts, spines):
    """All files, forks among them. The tool names a spine after the id in the file's name, else after its whole path."""
    named = {}
    for row in rollouts[0].spines.iter_rows(named=True):
        path = ROLLOUTS / row["path"].removeprefix("sessions/")
        if path.name not in NOT_REWRAPPED:
            found = UUID.search(path.name)
            named[row["thread_id"]] = found[0] if found else str(uuid.uuid5(uuid.NAMESPACE_URL, str(path)))
    assert len(named) == len(set(named.values())) > 130

    def facts(found, names) -> dict[str, Counter]:
        _, turns, calls, sessions = found
        words = turns.filter(pl.col("user_message") != "").select("thread_id", "user_message")
        failures = calls.filter(pl.col("exit_code") != 0).select("thread_id", "call_id", "exit_code")
        rows = {"sessions": sessions.select("thread_id"), "messages": words, "failures": failures}
        return {
            name: Counter((names[thread], *rest) for thread, *rest in frame.iter_rows() if thread in names)
            for name, frame in rows.items()
        }

    as_is, rewrapped = facts(rollouts, named), facts(spines, {name: name for name in named.values()})
    assert as_is == rewrapped
    assert as_is["messages"].total() > 170 and as_is["failures"].total() > 70


def test_whether_a_person_typed_agrees_with_careful_readers(rollouts):
    labels = [json.loads(text) for text in (SHARED / "gold" / "labels_dev.jsonl").read_text().splitlines()]
    read = {NAME.search(label["file"])[1]: label["human"] for label in labels if label.get("read")}
    human = dict(rollouts[3].select("thread_id", "human").rows())
    assert [thread for thread, expected in read.items() if human[thread] != expected] == []
