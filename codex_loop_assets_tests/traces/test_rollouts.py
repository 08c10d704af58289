"""Stock rollouts of every era become the same events."""

import json
import os
from pathlib import Path

import polars as pl
import pytest
import zstandard

from codex_loop_assets import canon
from codex_loop_assets.traces.settings import read_settings
from codex_loop_assets_tests.traces.building import (
    OTHER,
    THREAD,
    answer,
    call,
    dumps,
    exited,
    ingest,
    line,
    meta,
    moment,
    prompt,
    rollout_path,
    said,
    tokens,
    write_rollout,
)  # fmt: skip

CLASSIC = [
    line(
        0, "session_meta", meta(git={"commit_hash": "9f1c", "repository_url": "https://ann:pass@example.org/app.git"})
    ),
    line(1, "response_item", said("user", "<environment_context>\n<cwd>/home/ann/app</cwd>\n</environment_context>")),
    *prompt(2, "fix the bug"),
    line(3, "turn_context", {"cwd": "/home/ann/app", "approval_policy": "on-request", "model": "gpt-5.2"}),
    *call(4, "call_1", "pytest -q", exited(1, "1 failed")),
    *answer(6, "Fixed."),
    tokens(7, 120),
]


def kinds(found) -> list[str]:
    return found.events.sort("ordinal")["kind"].to_list()


def test_a_session_of_autumn_2025_gives_one_event_per_record_with_its_facts(tmp_path):
    write_rollout(rollout_path(tmp_path), CLASSIC)
    found = ingest(tmp_path)
    assert found.spines.select("status", "era", "lines", "lines_read", "started_from").row(0) == (
        "ingested", "C", len(CLASSIC), len(CLASSIC), "metadata",
    )  # fmt: skip
    output = found.events.filter(pl.col("kind") == "function_call_output")
    assert output.select("exit_code", "duration_ms", "text", "call_id").row(0) == (1, 400, "1 failed", "call_1")
    request = found.events.filter(pl.col("kind") == "function_call")
    assert request.select("command", "cwd", "name").row(0) == ("pytest -q", "/home/ann/app", "shell_command")


def test_credentials_in_a_remote_url_are_not_kept(tmp_path):
    write_rollout(rollout_path(tmp_path), CLASSIC)
    detail = ingest(tmp_path).events.filter(pl.col("kind") == "session_meta")["detail"][0]
    assert json.loads(detail)["git"]["repository_url"] == "https://example.org/app.git"


def test_a_prompt_and_an_answer_keep_their_words_once(tmp_path):
    write_rollout(rollout_path(tmp_path), CLASSIC)
    events = ingest(tmp_path).events
    assert events.filter(pl.col("text") == "fix the bug")["kind"].to_list() == ["message"]
    assert events.filter(pl.col("text") == "Fixed.")["kind"].to_list() == ["agent_message"]


def test_the_same_words_said_twice_are_two_prompts(tmp_path):
    write_rollout(rollout_path(tmp_path), [CLASSIC[0], *prompt(1, "continue"), *prompt(2, "continue")])
    events = ingest(tmp_path).events
    assert events.filter(pl.col("text") == "continue")["seq"].to_list() == [2, 4]


def test_unchanged_token_counts_and_turn_contexts_are_counted_and_not_stored(tmp_path):
    context = {"cwd": "/home/ann/app", "approval_policy": "never", "model": "gpt-5.2"}
    contexts = [line(n, "turn_context", context) for n in (1, 2, 3)]
    lines = [*CLASSIC[:2], *contexts, tokens(4, 50), tokens(5, 50), tokens(6, 80)]
    write_rollout(rollout_path(tmp_path), lines)
    found = ingest(tmp_path)
    assert json.loads(found.spines["skipped"][0]) == {"turn_context_unchanged": 2, "token_count_unchanged": 1}
    assert kinds(found) == ["session_meta", "message", "turn_context", "token_count", "token_count"]


def test_how_a_line_is_laid_out_does_not_change_what_it_says(tmp_path):
    """The quick patterns only know Codex's own layout; any other takes the long way to the same events."""
    reasoning = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "thinking"}],
        "encrypted_content": "x",
    }
    lines = [
        *CLASSIC,
        line(8, "event_msg", {"type": "agent_reasoning", "text": "thinking"}),
        line(8, "response_item", reasoning),
        line(9, "event_msg", {"type": "agent_message_delta", "delta": "Fi"}),
        tokens(10, 300),
    ]
    write_rollout(rollout_path(tmp_path / "compact"), lines)
    other = rollout_path(tmp_path / "loose")
    other.parent.mkdir(parents=True)
    other.write_text("".join(json.dumps(dict(reversed(entry.items()))) + "\n" for entry in lines))
    columns = ["seq", "kind", "role", "text", "command", "exit_code", "call_id", "turn_id", "ts"]
    compact, loose = ingest(tmp_path / "compact"), ingest(tmp_path / "loose")
    repeated = (pl.col("kind") == "reasoning") & pl.col("detail").str.contains("echo")
    assert compact.events.select(columns).equals(loose.events.filter(~repeated.fill_null(False)).select(columns))
    totals = [json.loads(t)["total_tokens"] for f in (compact, loose) for t in f.events["tokens"].drop_nulls()]
    assert totals == [120, 300, 120, 300]


def test_a_session_of_2026_has_codex_own_turn_ids(tmp_path):
    turn = "019c1b2e-8000-7d31-9a54-0f6f2b1c9d11"
    lines = [
        CLASSIC[0],
        line(1, "event_msg", {"type": "task_started", "turn_id": turn, "model_context_window": 100}),
        *prompt(2, "fix the bug"),
        *answer(3, "Fixed."),
        line(
            4,
            "event_msg",
            {"type": "turn_complete", "turn_id": turn, "last_agent_message": "Fixed.", "duration_ms": 3000},
        ),
    ]
    write_rollout(rollout_path(tmp_path), lines)
    found = ingest(tmp_path)
    assert found.spines["era"][0] == "D"
    assert found.events.filter(pl.col("kind") != "session_meta")["turn_id"].unique().to_list() == [turn]
    assert kinds(found)[-1] == "task_complete"


def test_items_of_a_paginated_session_become_the_events_they_stand_for(tmp_path):
    turn = "019f0000-0000-7000-8000-0000000000aa"

    def item(number: int, **fields: object) -> dict:
        payload = {"type": "item_completed", "thread_id": THREAD, "turn_id": turn, "item": fields}
        return line(number, "event_msg", payload, ordinal=number)

    lines = [
        line(0, "session_meta", meta(history_mode="paginated"), ordinal=0),
        item(1, type="UserMessage", id="u", content=[{"type": "text", "text": "fix the bug"}]),
        item(2, type="CommandExecution", id="call_Y1", command=["bash", "-lc", "pytest -q"], cwd="file:///home/ann/my%20app",
             status="declined", exit_code=None, aggregated_output=""),
        item(3, type="FileChange", id="call_P", status="completed", changes={"/a.py": {"type": "add", "content": "x"}}),
        item(4, type="McpToolCall", id="call_M", server="docs", tool="find", arguments={}, status="failed",
             error={"message": "no such page"}),
        item(5, type="AgentMessage", id="a", content=[{"type": "Text", "text": "Fixed."}]),
    ]  # fmt: skip
    write_rollout(rollout_path(tmp_path), lines)
    found = ingest(tmp_path)
    assert found.spines["era"][0] == "E"
    assert kinds(found)[1:] == [
        "user_message",
        "exec_command_end",
        "patch_apply_end",
        "mcp_tool_call_end",
        "agent_message",
    ]
    command, patch, mcp = (found.events.sort("ordinal").row(n, named=True) for n in (2, 3, 4))
    assert (command["cwd"], command["call_id"], json.loads(command["detail"])["status"]) == (
        "/home/ann/my app",
        "call_Y1",
        "declined",
    )
    assert (patch["success"], patch["paths"]) == (True, ["/a.py"])
    assert (mcp["success"], mcp["name"], mcp["text"]) == (False, "docs.find", "no such page")


def test_bare_lines_of_summer_2025_are_read_and_state_records_counted(tmp_path):
    lines = [
        {"id": THREAD, "timestamp": "2025-07-25T09:00:00.000Z", "instructions": None, "git": {"branch": "main"}},
        {"record_type": "state"},
        said("user", "<user_instructions>be brief</user_instructions>"),
        said("user", "fix the bug"),
        {"type": "function_call", "name": "shell", "arguments": '{"command":["bash","-lc","ls"]}', "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": '{"output":"a\\n","metadata":{"exit_code":2,"duration_seconds":0.5}}'},
        said("assistant", "Fixed."),
    ]  # fmt: skip
    write_rollout(rollout_path(tmp_path), lines)
    found = ingest(tmp_path)
    row = found.spines.row(0, named=True)
    assert (row["era"], row["started_at"].isoformat(), json.loads(row["skipped"])) == (
        "B", "2025-07-25T09:00:00+00:00", {"state_record": 1},
    )  # fmt: skip
    output = found.events.filter(pl.col("kind") == "function_call_output").row(0, named=True)
    assert (output["exit_code"], output["duration_ms"], output["text"]) == (2, 500, "a\n")


def test_the_single_document_of_spring_2025_is_read_whole(tmp_path):
    document = {
        "session": {"id": THREAD, "timestamp": "2025-04-20T10:00:00.000Z", "instructions": ""},
        "items": [said("user", "hi")],
    }
    path = tmp_path / "sessions" / f"rollout-2025-04-20-{THREAD}.json"
    path.parent.mkdir()
    path.write_text(json.dumps(document, indent=2))
    found = ingest(tmp_path)
    assert found.spines.select("era", "lines_torn", "status").row(0) == ("A", 0, "ingested")
    assert kinds(found) == ["session_meta", "message"]
    path.write_text(json.dumps(document, indent=2)[:-5])
    cut = ingest(tmp_path)
    assert cut.spines["status"][0] == "quarantined" and "no complete JSON document" in cut.spines["reason"][0]
    assert cut.spines["lines_torn"][0] == cut.spines["lines"][0] > 0


def test_a_compressed_rollout_reads_like_the_plain_one(tmp_path):
    plain = write_rollout(rollout_path(tmp_path / "a"), CLASSIC)
    packed = rollout_path(tmp_path / "b", suffix=".jsonl.zst", folder="archived_sessions")
    packed.parent.mkdir(parents=True)
    data = plain.read_bytes()
    compress = zstandard.ZstdCompressor().compress
    packed.write_bytes(compress(data[:500]) + compress(data[500:]))
    one, two = ingest(tmp_path / "a").events, ingest(tmp_path / "b").events
    assert one.drop("file").equals(two.drop("file"))


def test_a_damaged_compressed_file_keeps_what_came_before_the_damage(tmp_path):
    packed = rollout_path(tmp_path, suffix=".jsonl.zst")
    packed.parent.mkdir(parents=True)
    good = zstandard.ZstdCompressor().compress(b"".join(dumps(entry) + b"\n" for entry in CLASSIC))
    packed.write_bytes(good + good[:4] + b"\xff" * 40)
    found = ingest(tmp_path)
    assert found.spines.select("status", "lines_read", "lines_torn").row(0) == ("ingested", len(CLASSIC), 1)
    assert "breaks off" in found.spines["notes"][0]


def test_a_plain_file_beside_its_compressed_copy_counts_once(tmp_path):
    plain = write_rollout(rollout_path(tmp_path), CLASSIC)
    rollout_path(tmp_path, suffix=".jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
    found = ingest(tmp_path)
    assert found.spines.height == 1 and found.spines["path"][0].endswith(".jsonl")
    assert "another copy" in found.spines["notes"][0]


def test_a_fork_does_not_count_its_parents_work_again(tmp_path):
    """The copy is made in one go, seconds after the fork's first line; what is typed next is the fork's own."""
    copied = [
        line(6, "session_meta", meta(OTHER)), *prompt(6.01, "parent work"), *answer(6.02, "Parent answer."),
        *call(6.1, "call_1", "ls", exited(1)),
    ]  # fmt: skip
    copied[-1]["timestamp"] = moment(6.2)
    own = [*prompt(30, "fork work"), *answer(31, "Fork answer.")]
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta(forked_from_id=OTHER)), *copied, *own])
    found = ingest(tmp_path)
    assert json.loads(found.spines["skipped"][0]) == {"copied_history": len(copied)}
    assert found.events["text"].drop_nulls().to_list() == ["fork work", "Fork answer."]


def test_a_copy_that_kept_its_times_ends_where_the_fork_begins(tmp_path):
    copied = [line(-60, "session_meta", meta(OTHER)), *prompt(-50, "parent work")]
    own = [*prompt(1, "fork work")]
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta(forked_from_id=OTHER)), *copied, *own])
    assert ingest(tmp_path).events["text"].drop_nulls().to_list() == ["fork work"]


def test_a_spawned_agents_first_turn_is_its_own_though_it_follows_the_copy_at_once(tmp_path):
    own_turn = "019c1b2e-9000-7d31-9a54-0f6f2b1c9d11"
    copied = [line(0.3, "session_meta", meta(OTHER)), *prompt(0.31, "parent work")]
    own = [line(0.4, "event_msg", {"type": "task_started", "turn_id": own_turn}), *prompt(0.41, "child work")]
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta(forked_from_id=OTHER)), *copied, *own])
    assert ingest(tmp_path).events["text"].drop_nulls().to_list() == ["child work"]


def test_a_fork_counts_its_tokens_from_where_its_parent_stood(tmp_path):
    copied = [
        line(6, "session_meta", meta(OTHER)),
        *prompt(6.01, "parent work"),
        tokens(6.02, 4000),
        tokens(6.03, 5000),
    ]
    own = [*prompt(30, "fork work"), tokens(30.5, 5000), tokens(31, 5300), *answer(32, "Done.")]
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta(forked_from_id=OTHER)), *copied, *own])
    found = ingest(tmp_path)
    assert canon.turns.build(found.events, found.spines)["total_tokens"].to_list() == [300]
    assert json.loads(found.spines["skipped"][0])["copied_history"] == len(copied)


def test_a_fork_that_copies_nothing_counts_only_what_its_own_requests_used(tmp_path):
    """Its totals go on from its parent's, which its file does not hold."""
    base = {"thread_id": OTHER, "end_ordinal_exclusive": 9}
    own = [*prompt(30, "fork work"), tokens(31, 5300, last=300), tokens(32, 5700, last=400), *answer(33, "Done.")]
    lines = [line(0, "session_meta", meta(forked_from_id=OTHER, history_base=base)), *own]
    write_rollout(rollout_path(tmp_path), [{**entry, "ordinal": number} for number, entry in enumerate(lines)])
    found = ingest(tmp_path)
    assert canon.turns.build(found.events, found.spines)["total_tokens"].to_list() == [700]


def test_a_sub_agent_that_was_given_a_history_says_where_its_own_begins(tmp_path):
    lines = [
        line(0, "session_meta", meta(subagent_history_start_ordinal=3)),
        *prompt(0.01, "parent work"),
        *prompt(0.02, "own work"),
    ]
    write_rollout(rollout_path(tmp_path), [{**entry, "ordinal": number} for number, entry in enumerate(lines)])
    found = ingest(tmp_path)
    assert found.events["text"].drop_nulls().to_list() == ["own work"]
    assert json.loads(found.spines["skipped"][0]) == {"copied_history": 2}


def test_a_copys_parent_is_named_by_its_own_metadata_where_the_fork_does_not_say(tmp_path):
    """The first builds that could resume (September 2025) wrote no forked_from_id."""
    copied = [line(6, "session_meta", meta(OTHER)), *prompt(6.01, "parent work")]
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta()), *copied, *prompt(30, "own work")])
    events = ingest(tmp_path).events
    assert json.loads(events["detail"][0])["forked_from_id"] == OTHER
    assert events["text"].drop_nulls().to_list() == ["own work"]


@pytest.mark.parametrize("error", [{"message": "limit reached"}, "limit reached"])
def test_an_errors_words_are_read_wherever_they_stand(tmp_path, error):
    for shape in ({"message": "limit reached"}, {"error": error}):
        write_rollout(rollout_path(tmp_path), [*CLASSIC[:1], line(3, "event_msg", {"type": "error", **shape})])
        assert ingest(tmp_path).events.filter(pl.col("kind") == "error")["text"].to_list() == ["limit reached"]


@pytest.mark.parametrize(
    ("inside", "torn"), [(b"gAAA-_=", 0), (b"gA\x01A", 1), (b"g\xff", 0), (b"g\\u0041", 0), (b"a b", 0)]
)
def test_the_quick_way_accepts_no_line_that_is_no_json(tmp_path, inside, torn):
    item = {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "MARK"}
    path = write_rollout(rollout_path(tmp_path), [*CLASSIC, line(9, "response_item", item)])
    path.write_bytes(path.read_bytes().replace(b"MARK", inside))
    assert ingest(tmp_path).spines["lines_torn"][0] == torn


def test_files_of_one_thread_are_one_source_with_a_run_each(tmp_path):
    second = "019c1b2e-9000-7d31-9a54-0f6f2b1c9d22"
    base = {"thread_id": THREAD, "end_ordinal_exclusive": 3, "end_byte_offset": 10}
    first = [line(0, "session_meta", meta(), ordinal=0)]
    first += [{**entry, "ordinal": n} for n, entry in enumerate([*prompt(1, "one"), *prompt(2, "two")], 1)]
    write_rollout(rollout_path(tmp_path), first)
    path = tmp_path / "sessions/2026/02/02" / f"rollout-2026-02-02T08-00-00-{THREAD}_{second}.jsonl"
    write_rollout(path, [line(90, "session_meta", meta(history_base=base), ordinal=3), *prompt(91, "three")])
    found = ingest(tmp_path)
    assert found.spines.height == 1 and len(json.loads(found.spines["files"][0])) == 2
    assert found.events.filter(pl.col("text").is_in(["one", "two", "three"]))["run"].to_list() == [0, 0, 1]
    detail = found.events.filter((pl.col("kind") == "session_meta") & (pl.col("run") == 1))["detail"][0]
    assert json.loads(detail)["reverted"] == {"run": 0, "from_seq": 4}


def test_a_line_over_the_limit_is_known_by_its_head_and_its_neighbours_are_read(tmp_path):
    settings = read_settings({"traces": {"line_limit": 1000, "line_head": 300}})
    long = line(3, "compacted", {"message": "x" * 900_000, "replacement_history": []})
    write_rollout(rollout_path(tmp_path), [CLASSIC[0], *prompt(1, "before"), long, *prompt(4, "after")])
    found = ingest(tmp_path, settings=settings)
    boundary = found.events.filter(pl.col("kind") == "compaction_boundary").row(0, named=True)
    assert (boundary["seq"], boundary["payload_bytes"], boundary["ts"].second) == (4, len(dumps(long)) + 1, 14)
    assert "read by their heads only" in found.spines["notes"][0]
    assert found.events["text"].drop_nulls().to_list() == ["before", "after"]
    offsets = found.events.sort("ordinal")["offset"].to_list()
    data = rollout_path(tmp_path).read_bytes()
    assert all(data[offset - 1 : offset + 1] == b"\n{" for offset in offsets[1:])


def test_a_new_record_type_is_counted_and_stays_reachable(tmp_path):
    write_rollout(
        rollout_path(tmp_path),
        [CLASSIC[0], line(1, "telepathy", {"thought": 7}), line(2, "event_msg", {"type": "hum", "a": 1})],
    )
    found = ingest(tmp_path)
    assert json.loads(found.spines["unknown_kinds"][0]) == {"telepathy": 1, "hum": 1}
    assert '"thought":7' in json.loads(found.events.filter(pl.col("kind") == "telepathy")["detail"][0])["raw"]


def test_a_file_without_metadata_is_quarantined_with_what_to_do(tmp_path):
    write_rollout(rollout_path(tmp_path), prompt(1, "who am I"))
    found = ingest(tmp_path)
    row = found.spines.row(0, named=True)
    assert row["status"] == "quarantined" and "no session_meta" in row["reason"] and row["path"] in row["reason"]
    assert (row["records"], json.loads(row["skipped"]), found.events.height) == (0, {"quarantined": 2}, 0)


def test_lone_surrogates_nan_and_bad_bytes_do_not_lose_a_line(tmp_path):
    path = write_rollout(rollout_path(tmp_path), [CLASSIC[0]])
    with path.open("ab") as stream:
        stream.write(
            b'{"timestamp":"2026-02-01T18:02:12.000Z","type":"event_msg","payload":{"type":"agent_message","message":"\\ud83d hi"}}\n'
        )
        stream.write(
            b'{"timestamp":"2026-02-01T18:02:13.000Z","type":"event_msg","payload":{"type":"agent_message","message":"a\xff","x":NaN}}\n'
        )
    found = ingest(tmp_path)
    assert found.spines["lines_torn"][0] == 0
    assert found.events["text"].drop_nulls().to_list() == ["? hi", "a\ufffd"]


def saved(home: Path, number: int, items: list[dict]) -> Path:
    """A save of spring 2025, under an id of its own."""
    thread = f"0195aaaa-0000-4000-8000-{number:012d}"
    session = {"id": thread, "timestamp": f"2025-04-20T10:0{number}:00.000Z", "instructions": ""}
    path = home / "sessions" / f"rollout-2025-04-20-{thread}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"session": session, "items": items}, indent=2))
    os.utime(path, (number, number))
    return path


CONVERSATION = [said("user", "hi"), said("assistant", "hello"), said("user", "fix it"), said("assistant", "fixed")]


def test_saves_of_one_session_under_several_ids_are_one_session(tmp_path):
    for number, length in enumerate((2, 4, 3, 4), start=1):
        saved(tmp_path, number, CONVERSATION[:length])
    found = ingest(tmp_path)
    assert found.events["thread_id"].unique().to_list() == ["0195aaaa-0000-4000-8000-000000000002"]
    assert found.events.filter(role="user")["text"].to_list() == ["hi", "fix it"]
    rows = found.spines.sort("path").select("status", "lines_read").rows()
    assert [status for status, _ in rows] == ["superseded", "ingested", "superseded", "superseded"]
    assert [bool(read) for _, read in rows] == [False, True, False, False]
    assert all("earlier save of the session in" in reason for reason in found.spines["reason"].drop_nulls())


def test_saves_that_arrive_one_after_the_other_end_as_saves_read_at_once(tmp_path):
    previous = None
    for number, length in enumerate((2, 4, 3), start=1):
        saved(tmp_path, number, CONVERSATION[:length])
        previous = ingest(tmp_path, previous)
    again = ingest(tmp_path, previous)
    at_once = ingest(tmp_path)
    assert again.opened == []
    assert again.spines.equals(at_once.spines) and again.events.equals(at_once.events)


def test_sessions_that_only_begin_alike_are_two(tmp_path):
    """The same prompt may be typed twice, and answered differently."""
    saved(tmp_path, 1, CONVERSATION[:1])
    saved(tmp_path, 2, CONVERSATION)
    saved(tmp_path, 3, [*CONVERSATION[:1], said("assistant", "good morning")])
    found = ingest(tmp_path)
    assert found.spines["status"].to_list() == ["ingested"] * 3
