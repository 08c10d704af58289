"""Laws of ATIF export: nothing is lost or counted twice, and Harbor's validator takes every document."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.canon import everything
from codex_loop_assets.measure.atif import EMBEDDING, SCHEMA_VERSIONS, NothingToExport, trajectories
from codex_loop_assets.resources import harbor
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.tables import EVENTS, SPINES
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover
from codex_loop_assets.traces.homes import CodexHome

ROOT = Path(__file__).parents[2]
CORPUS = ROOT.parent / "shared" / "corpus" / "rollouts"
THREAD = "019c0000-0000-7000-8000-000000000001"
START = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = st.text(max_size=20)


@cache
def fixtures() -> CanonTables:
    return tables(*read(ROOT / "fixtures" / "codex_home"))


def read(home: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    found = build_day(date(2026, 3, 1), discover([CodexHome("home", home)]))
    return found.events, found.spines


def tables(events: pl.DataFrame, spines: pl.DataFrame) -> CanonTables:
    made = everything.build(events, spines)
    return CanonTables(spines, events, made.sessions, made.turns, made.tool_calls)


def every_export(canon: CanonTables, version: str, split: bool, **options):
    for thread in canon.sessions["thread_id"]:
        try:
            yield thread, trajectories(thread, canon, schema_version=version, split_compaction=split, **options)
        except NothingToExport:
            mine = pl.col("thread_id") == thread
            assert canon.turns.filter(mine).is_empty() and canon.tool_calls.filter(mine).is_empty()


@cache
def fixtures_exported(split: bool) -> list[tuple[str, dict[str, dict]]]:
    """Not redacted, which is most of the work and another law's concern."""
    return list(every_export(fixtures(), SCHEMA_VERSIONS[0], split, redact=lambda text, _: text))


def own(files: dict[str, dict]) -> list[dict]:
    return [document for name, document in files.items() if "subagent" not in name]


def session(*records: dict) -> CanonTables:
    """Tables of one thread of hand-made events, a second apart."""
    rows = [
        {"thread_id": THREAD, "source": "rollout", "run": 0, "seq": number, "part": 0, "ordinal": number}
        | {"ts": START + timedelta(seconds=number), "payload_bytes": 1, "file": "f", "offset": number}
        | record
        for number, record in enumerate(records)
    ]
    return tables(EVENTS.frame(rows), SPINES.empty())


def said(role: str, text: str) -> dict:
    return {"kind": "message", "role": role, "text": text}


def call(name: str, arguments: str) -> dict:
    return {"kind": "function_call", "call_id": name, "name": "shell_command", "text": arguments}


def output(name: str, text: str) -> dict:
    return {"kind": "function_call_output", "call_id": name, "text": text}


def spent(tokens: int) -> dict:
    usage = {"input_tokens": tokens, "cached_input_tokens": 0, "output_tokens": 0, "total_tokens": tokens}
    return {"kind": "token_count", "tokens": json.dumps(usage)}


@pytest.mark.parametrize("split", [False, True])
def test_every_turn_and_every_call_of_a_thread_is_in_its_trajectory_once(split):
    canon = fixtures()
    by_user = pl.col("actor") == "user"
    for thread, files in fixtures_exported(split):
        steps = [step for document in own(files) for step in document["steps"]]
        mine = pl.col("thread_id") == thread
        calls = canon.tool_calls.filter(mine & ~by_user)
        made = [made["tool_call_id"] for step in steps for made in step.get("tool_calls", ())]
        assert sorted(made) == sorted(calls["call_id"])
        prompts = [step for step in steps if step["source"] == "user"]
        assert len(prompts) == canon.turns.filter(mine).height


@pytest.mark.parametrize("split", [False, True])
def test_tokens_of_the_steps_add_up_to_the_total_and_the_parts_to_the_session(split):
    canon = fixtures()
    totals = dict(canon.sessions.select("thread_id", "input_tokens").rows())
    filled = 0
    for thread, files in fixtures_exported(split):
        for document in own(files):
            counted = sum(step.get("metrics", {}).get("prompt_tokens", 0) for step in document["steps"])
            assert counted == document["final_metrics"].get("total_prompt_tokens", 0)
        total = sum(document["final_metrics"].get("total_prompt_tokens", 0) for document in own(files))
        assert total == (totals[thread] or 0)
        filled += total > 0
    assert filled > 50


def test_parts_between_compactions_are_linked_in_order_and_hold_the_whole():
    canon = fixtures()
    compacted = canon.sessions.filter(pl.col("compaction_count") > 1)["thread_id"][0]
    whole = trajectories(compacted, canon)["trajectory.json"]
    files = trajectories(compacted, canon, split_compaction=True)
    names = list(files)
    assert names[:2] == ["trajectory.json", "trajectory.cont-1.json"] and len(names) > 2
    assert [files[name].get("continued_trajectory_ref") for name in names] == [*names[1:], None]

    def bare(steps):
        return [{key: value for key, value in step.items() if key != "step_id"} for step in steps]

    assert bare(whole["steps"]) == bare(step for name in names for step in files[name]["steps"])


def test_sub_agents_are_files_in_one_version_and_embedded_in_the_other():
    canon = fixtures()
    child, parent = canon.sessions.drop_nulls("parent_thread_id").select("thread_id", "parent_thread_id").row(0)
    files = trajectories(parent, canon)
    (reference,) = references(files["trajectory.json"])
    assert files[reference["trajectory_path"]]["session_id"] == child == reference["session_id"]
    assert "subagent_trajectories" not in files["trajectory.json"]
    embedded = trajectories(parent, canon, schema_version=EMBEDDING)
    assert list(embedded) == ["trajectory.json"]
    (inside,) = embedded["trajectory.json"]["subagent_trajectories"]
    (reference,) = references(embedded["trajectory.json"])
    assert inside["trajectory_id"] == reference["trajectory_id"] == child
    assert inside["steps"] == files["trajectory.subagent-1.json"]["steps"]


def references(document: dict) -> list[dict]:
    results = [result for step in document["steps"] for result in step.get("observation", {}).get("results", ())]
    return [reference for result in results for reference in result.get("subagent_trajectory_ref", ())]


def test_reasoning_words_calls_and_results_of_one_answer_are_one_step():
    document = trajectories(
        THREAD,
        session(
            said("user", "fix it"),
            {"kind": "reasoning", "text": "look first"},
            said("assistant", "Looking."),
            call("a", '{"command": "ls"}'),
            call("b", '{"command": "pwd"}'),
            output("a", "x.py"),
            output("b", "/app"),
            call("c", '{"command": "cat x.py"}'),
            output("c", "x = 1"),
            said("assistant", "Done."),
        ),
    )["trajectory.json"]
    user, first, second, last = document["steps"]
    assert (user["source"], user["message"]) == ("user", "fix it")
    assert (first["message"], first["reasoning_content"]) == ("Looking.", "look first")
    assert [made["arguments"] for made in first["tool_calls"]] == [{"command": "ls"}, {"command": "pwd"}]
    assert [(r["source_call_id"], r["content"]) for r in first["observation"]["results"]] == [
        ("a", "x.py"),
        ("b", "/app"),
    ]
    assert [made["tool_call_id"] for made in second["tool_calls"]] == ["c"]
    assert last["message"] == "Done." and "tool_calls" not in last


def test_no_secret_leaves_in_words_arguments_results_or_reasons():
    secret = "ghp_" + "".join(chr(ord("a") + number * 7 % 26) + str(number % 10) for number in range(18))
    quoted = json.dumps({"command": f'curl -H "Authorization: Bearer {secret}" x', "env": {"TOKEN": secret}})
    document = trajectories(
        THREAD,
        session(
            said("user", f"use {secret}"),
            {"kind": "reasoning", "text": f"the token {secret}"},
            said("assistant", f"I use {secret}."),
            call("a", quoted),
            output("a", f"logged in with {secret}"),
        ),
    )
    assert secret not in json.dumps(document)
    assert json.dumps(document).count("[secret:") >= 6


def test_a_thread_without_a_step_is_refused_and_an_unknown_version_too():
    with pytest.raises(NothingToExport):
        trajectories(THREAD, session({"kind": "session_meta"}))
    with pytest.raises(ValueError, match="no ATIF schema"):
        trajectories(THREAD, fixtures(), schema_version="ATIF-v9")


records = st.one_of(
    st.builds(said, st.sampled_from(["user", "assistant", "developer"]), WORDS),
    st.builds(lambda text: {"kind": "reasoning", "text": text}, WORDS),
    st.builds(
        call, st.sampled_from(["a", "b", ""]), st.one_of(WORDS, st.just('{"x": NaN}'), st.just('{"a": "\\ud83d"}'))
    ),
    st.builds(output, st.sampled_from(["a", "b", "", "never called"]), WORDS),
    st.builds(spent, st.integers(0, 10**6)),
    st.just({"kind": "compaction_boundary"}),
    st.just({"kind": "turn_aborted", "detail": '{"reason":"interrupted"}'}),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(records, max_size=12), st.booleans(), st.sampled_from(SCHEMA_VERSIONS))
def test_whatever_the_order_of_records_the_form_holds(found, split, version):
    try:
        files = trajectories(
            THREAD, session(*found), schema_version=version, split_compaction=split, redact=lambda text, _: text
        )
    except NothingToExport:
        return
    for document in json.loads(json.dumps(files).encode("utf-8")).values():
        assert [step["step_id"] for step in document["steps"]] == list(range(1, len(document["steps"]) + 1))
        counted = sum(step.get("metrics", {}).get("prompt_tokens", 0) for step in document["steps"])
        assert counted == document["final_metrics"].get("total_prompt_tokens", 0)
        for step in document["steps"]:
            made = [made["tool_call_id"] for made in step.get("tool_calls", ())]
            assert len(made) == len(set(made))
            assert all(isinstance(made["arguments"], dict) for made in step.get("tool_calls", ()))
            answered = {
                r["source_call_id"] for r in step.get("observation", {}).get("results", ()) if "source_call_id" in r
            }
            assert answered <= set(made)
            agent_only = {"tool_calls", "metrics", "reasoning_content", "model_name"}
            assert step["source"] == "agent" or not agent_only & step.keys()


@pytest.mark.harbor
@pytest.mark.parametrize("place", ["fixtures", "corpus"])
def test_harbors_validator_takes_every_export(tmp_path, place):
    tool = harbor.find()
    if tool is None:
        pytest.skip(harbor.HOW_TO_INSTALL)
    if place == "corpus":
        if not CORPUS.is_dir():
            pytest.skip("no corpus of real sessions beside the checkout")
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "sessions").symlink_to(CORPUS, target_is_directory=True)
        canon = tables(*read(tmp_path / "home"))
    else:
        canon = fixtures()
    written = []
    for version in SCHEMA_VERSIONS:
        for split in (False, True):
            for number, (_, files) in enumerate(every_export(canon, version, split)):
                folder = tmp_path / "out" / f"{version}-{split}-{number}"
                folder.mkdir(parents=True)
                for name, document in files.items():
                    (folder / name).write_text(json.dumps(document))
                    written.append(str(folder / name))
    assert len(written) > 400
    (tmp_path / "list.txt").write_text("\n".join(written))
    python = tool.executable.resolve().parent / "python"
    done = subprocess.run([python, "-c", VALIDATE, tmp_path / "list.txt"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


VALIDATE = """
import sys
from pathlib import Path
from harbor.utils.trajectory_validator import TrajectoryValidator
wrong = 0
for name in Path(sys.argv[1]).read_text().splitlines():
    validator = TrajectoryValidator()
    if not validator.validate(Path(name)):
        wrong += 1
        print(name, validator.errors[:2])
sys.exit(bool(wrong))
"""
