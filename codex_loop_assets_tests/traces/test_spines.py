"""Trace spine directories: runs, numbers, segments, checksums, and every record type."""

import base64
import json
import os

import polars as pl
import pytest

from codex_loop_assets import canon
from codex_loop_assets_tests.traces.building import OTHER, THREAD, Spine, dumps, ingest, meta, moment, said, tokens

REMOTE = {"commit_hash": "9f1c", "branch": "main", "repository_url": "git@example.org:ann/app.git"}


def configured(spine: Spine) -> Spine:
    return spine.event(
        "", "session_configured", session_id=spine.thread, model="gpt-5.2", cwd="/home/ann/app",
        initial_messages=[{"type": "user_message", "message": "old words"}],
    )  # fmt: skip


def basic() -> Spine:
    return (
        configured(Spine().meta())
        .prompt("1", "fix the bug")
        .shell("1", "call_1", "pytest -q", 1, "1 failed\n")
        .done("1")
    )


def notes(found) -> str:
    return " ".join(found.spines["notes"].to_list())


def test_every_record_type_becomes_an_event_with_its_facts(tmp_path):
    spine = basic()
    spine.add("artifact_ref", {"kind": "git_info", "repo_root": "/home/ann/app", "git": REMOTE})
    spine.add(
        "artifact_ref",
        {"kind": "git_diff", "base_sha": "abc", "artifact_path": "artifacts/git_diff.patch", "sha256": "0"},
    )
    spine.add(
        "turn_context",
        {"turn_id": "1", "context": {"cwd": "/home/ann/app", "approval_policy": {"granular": {}}, "model": "m"}},
    )
    history = [said("user", "old words")] * 3
    spine.add(
        "compaction_boundary",
        {
            "turn_id": "1",
            "kind": "local",
            "summary_message": "so far",
            "pre_compaction_history": history,
            "post_compaction_history": history[:1],
        },
    )
    spine.add(
        "bridge",
        {
            "bridge_kind": "exec_approval",
            "parent_thread_id": THREAD,
            "parent_turn_id": "1",
            "sub_agent_thread_id": OTHER,
            "sub_agent_turn_id": "0",
            "sub_agent_call_id": "c",
            "decision": "abort",
        },
    )
    spine.submit(
        "2",
        "exec_approval",
        id="1",
        decision={"approved_execpolicy_amendment": {"proposed_execpolicy_amendment": ["git"]}},
    )
    spine.write(tmp_path)
    events = ingest(tmp_path).events

    def one(kind: str) -> dict:
        row = events.filter(pl.col("kind") == kind).row(-1, named=True)
        return {**row, **json.loads(row["detail"] or "{}")}

    assert "old words" not in events["text"].drop_nulls().to_list()
    assert one("artifact_ref")["base_sha"] == "abc"
    assert (one("turn_context")["approval_policy"], one("turn_context")["model"]) == ("granular", "m")
    assert (one("compaction_boundary")["text"], one("compaction_boundary")["pre_items"]) == ("so far", 3)
    assert (one("bridge")["decision"], one("bridge")["sub_agent_thread_id"]) == ("abort", OTHER)
    assert one("exec_approval")["decision"] == "approved_execpolicy_amendment"
    end = one("exec_command_end")
    assert (end["command"], end["exit_code"], end["duration_ms"], end["text"]) == ("pytest -q", 1, 1500, "1 failed\n")


def test_one_prompt_in_five_records_keeps_its_words_once(tmp_path):
    basic().write(tmp_path)
    events = ingest(tmp_path).events
    assert events.filter(pl.col("text") == "fix the bug")["kind"].to_list() == ["user_turn"]


def test_the_nested_form_of_an_event_says_the_same_as_the_flat_one(tmp_path):
    flat, nested = basic(), basic()
    for record in nested.records:
        if record["type"] == "event":
            msg = record["payload"]["msg"]
            record["payload"]["msg"] = {"type": msg["type"], "payload": {k: v for k, v in msg.items() if k != "type"}}
    flat.write(tmp_path / "flat")
    nested.write(tmp_path / "nested")
    columns = ["seq", "kind", "text", "command", "exit_code", "turn_id", "call_id", "role"]
    assert ingest(tmp_path / "flat").events.select(columns).equals(ingest(tmp_path / "nested").events.select(columns))


def test_output_deltas_cost_no_decoding_and_are_counted(tmp_path):
    """A delta whose base64 is spoilt shows that it is not looked into; a cut one is torn all the same."""
    spine = basic()
    chunk = base64.b64encode(b"x" * 300).decode()
    for _ in range(3):
        spine.event("1", "exec_command_output_delta", call_id="call_1", stream="stdout", chunk=chunk)
    folder = spine.write(tmp_path, closed=False)
    with (folder / "segment-000.jsonl").open("ab") as stream:
        stream.write(dumps(spine.records[-1])[:200] + b"\n")
    found = ingest(tmp_path)
    assert json.loads(found.spines["skipped"][0])["delta"] == 3
    assert found.spines["lines_torn"][0] == 1


def test_a_resume_starts_a_run_and_turn_ids_may_repeat(tmp_path):
    spine = basic()
    first = len(spine.records)
    configured(spine).prompt("1", "again").done("1")
    spine.write(tmp_path, [first, len(spine.records) - first])
    found = ingest(tmp_path)
    prompts = found.events.filter(pl.col("kind") == "user_turn")
    assert prompts.select("run", "turn_id", "text").rows() == [(0, "1", "fix the bug"), (1, "1", "again")]


def test_a_rotated_segment_goes_on_with_the_run(tmp_path):
    basic().write(tmp_path, [7, 30])
    assert ingest(tmp_path).events["run"].unique().to_list() == [0]


def test_segments_are_ordered_by_number_not_by_name(tmp_path):
    spine = basic()
    folder = spine.write(tmp_path, [5, len(spine.records) - 5])
    os.rename(folder / "segment-001.jsonl", folder / "segment-1000.jsonl")
    os.rename(folder / "segment-001.meta.json", folder / "segment-1000.meta.json")
    os.rename(folder / "segment-000.jsonl", folder / "segment-999.jsonl")
    os.rename(folder / "segment-000.meta.json", folder / "segment-999.meta.json")
    seqs = ingest(tmp_path).events.sort("ordinal")["seq"].to_list()
    assert seqs == sorted(seqs)


def test_a_seq_that_starts_again_after_an_empty_segment_is_a_run_of_its_own(tmp_path):
    spine = basic()
    first = len(spine.records)
    spine.seq = 0
    spine.event("5", "agent_message", message="back").event("5", "warning", message="w")
    spine.write(tmp_path, [first, 0, 2])
    found = ingest(tmp_path)
    assert found.events.select("run", "seq").is_unique().all()
    assert found.events.filter(pl.col("text") == "back").select("run", "seq").row(0) == (1, 1)
    assert "started again" in notes(found)


def test_two_records_that_swapped_places_stay_in_their_run(tmp_path):
    spine = basic()
    spine.records[5], spine.records[6] = spine.records[6], spine.records[5]
    spine.write(tmp_path)
    found = ingest(tmp_path)
    assert found.events["run"].unique().to_list() == [0] and "out of seq order" in notes(found)


def test_two_processes_writing_one_thread_at_once_keep_records_apart(tmp_path):
    spine = basic()
    doubled = [record for record in spine.records for _ in (0, 1)]
    spine.records = doubled
    spine.write(tmp_path)
    found = ingest(tmp_path)
    assert found.events.select("run", "seq").is_unique().all()
    assert "repeated seq numbers" in notes(found)


def test_a_missing_meta_of_the_last_segment_is_normal_and_a_wrong_one_is_noted(tmp_path):
    basic().write(tmp_path / "open", closed=False)
    assert ingest(tmp_path / "open").spines["notes"][0] == "[]"
    folder = basic().write(tmp_path / "edited")
    path = folder / "segment-000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"1 failed", b"2 failed"))
    edited = ingest(tmp_path / "edited")
    assert edited.spines["status"][0] == "ingested" and "differs from its meta.json" in notes(edited)


def test_a_torn_tail_is_counted_and_what_came_before_is_kept(tmp_path):
    folder = basic().write(tmp_path, closed=False)
    path = folder / "segment-000.jsonl"
    path.write_bytes(path.read_bytes()[:-15])
    found = ingest(tmp_path)
    assert found.spines.select("status", "lines_torn", "lines").row(0) == ("ingested", 1, len(basic().records))


def test_an_old_thread_resumed_by_a_spine_build_needs_no_session_meta(tmp_path):
    spine = configured(Spine())
    spine.prompt("0", "go on").done("0").write(tmp_path)
    found = ingest(tmp_path)
    assert found.spines.select("status", "started_from").row(0) == ("ingested", "uuid")
    assert "older than its spine" in notes(found)


def test_a_thread_id_need_not_be_a_uuid(tmp_path):
    Spine("thread_123").meta().prompt("0", "hello").write(tmp_path)
    assert ingest(tmp_path).events["thread_id"].unique().to_list() == ["thread_123"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "segment-000.jsonl").unlink(), "no segment-"),
        (lambda folder: (folder / "segment-000.jsonl").write_bytes(b"\x00\xff garbage\n"), "no session_meta"),
        (lambda folder: _replace(folder, b"codex_trace_spine_v1", b"codex_trace_spine_v9"), "schema_version"),
        (lambda folder: (folder / "segment-000.jsonl").write_bytes(b""), "no session_meta"),
    ],
)
def test_what_cannot_be_a_spine_is_quarantined_with_what_where_and_what_to_do(tmp_path, spoil, words):
    folder = basic().write(tmp_path)
    spoil(folder)
    found = ingest(tmp_path)
    row = found.spines.row(0, named=True)
    assert row["status"] == "quarantined" and words in row["reason"] and f"trace_spine/{THREAD}" in row["reason"]
    assert found.events.is_empty()


def _replace(folder, old: bytes, new: bytes) -> None:
    path = folder / "segment-000.jsonl"
    path.write_bytes(path.read_bytes().replace(old, new))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_directory_is_quarantined(tmp_path):
    folder = basic().write(tmp_path)
    folder.chmod(0)
    try:
        row = ingest(tmp_path).spines.row(0, named=True)
    finally:
        folder.chmod(0o700)
    assert row["status"] == "quarantined" and "permission" in row["reason"]


def test_a_file_that_cannot_be_opened_is_quarantined_and_the_others_are_read(tmp_path):
    folder = basic().write(tmp_path)
    Spine(OTHER).meta().prompt("0", "hello").write(tmp_path)
    (folder / "segment-000.jsonl").unlink()
    (folder / "segment-000.jsonl").symlink_to("segment-000.jsonl")
    found = ingest(tmp_path)
    assert dict(found.spines.select("thread_id", "status").rows()) == {THREAD: "quarantined", OTHER: "ingested"}


def test_an_exported_bundle_is_a_source_like_any_other(tmp_path):
    from codex_loop_assets_tests.traces.building import rollout_path, write_rollout
    from codex_loop_assets_tests.traces.test_rollouts import CLASSIC

    spine = basic()
    spine.write(tmp_path / "plain")
    bundle = tmp_path / "export" / "bundle-1"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text(json.dumps({"bundle_version": "rollout_plus_v0", "thread_id": THREAD}))
    os.rename(tmp_path / "plain" / "trace_spine" / THREAD, bundle / "spine")
    write_rollout(rollout_path(bundle, folder="rollout"), [CLASSIC[0]])
    found = ingest(tmp_path / "export")
    assert dict(found.spines.select("source", "status").rows()) == {"spine": "ingested", "rollout": "superseded"}
    assert found.events.height > 10 and found.events["thread_id"].unique().to_list() == [THREAD]


def test_metadata_of_the_spine_does_not_keep_the_instructions(tmp_path):
    Spine().meta(base_instructions={"text": "You are a coding agent."}).prompt("0", "hi").write(tmp_path)
    detail = ingest(tmp_path).events.filter(pl.col("kind") == "session_meta")["detail"][0]
    assert "coding agent" not in detail and json.loads(detail)["id"] == meta()["id"]


def test_a_fork_s_spine_that_holds_its_parents_records_counts_only_its_own(tmp_path):
    """Codex leaves the copy out; what rewraps rollouts as spines does not."""
    spine = Spine().meta(forked_from_id=OTHER)
    spine.add("session_meta", meta(OTHER, timestamp=moment(-900)))
    spine.prompt("1", "the parent's request").done("1", "the parent's answer")
    for record in spine.records[1:]:
        record["timestamp"] = moment(2)
    own = len(spine.records)
    spine.prompt("2", "the fork's request").done("2", "the fork's answer")
    for seconds, record in enumerate(spine.records[own:]):
        record["timestamp"] = moment(60 + seconds)
    spine.write(tmp_path)
    found = ingest(tmp_path)
    assert found.events.filter(kind="user_turn")["text"].to_list() == ["the fork's request"]
    assert json.loads(found.spines["skipped"].item())["copied_history"] == own - 1


def test_what_a_reviewer_does_counts_in_its_own_thread_and_not_again_in_its_parents(tmp_path):
    """Codex passes a reviewer's events on to its parent's spine, under the parent's turn."""
    parent = Spine().meta().prompt("7", "change it").done("7")
    parent.submit("8", "review", review_request={"target": {"type": "uncommittedChanges"}})
    parent.event("8", "task_started").event("8", "entered_review_mode", target={"type": "uncommittedChanges"})
    before = len(parent.records)
    parent.shell("8", "call_review", "pytest -q", 1, "1 failed").event("8", "agent_message", message="it fails")
    parent.event("8", "exec_approval_request", call_id="8", turn_id="8", command=["ls"])
    passed_on = len(parent.records) - before - 1
    parent.event("8", "exited_review_mode", review_output=None).done("8", "One finding.")
    parent.prompt("9", "fix it").shell("9", "call_own", "pytest -q", 1, "1 failed").done("9")
    parent.write(tmp_path)
    child = Spine(OTHER).meta(source={"subagent": "review"}).prompt("0", "look", kind="user_input")
    child.shell("0", "call_review", "pytest -q", 1, "1 failed").done("0", "it fails").write(tmp_path)
    found = ingest(tmp_path)
    ends = found.events.filter(kind="exec_command_end").sort("call_id").select("thread_id", "call_id").rows()
    assert ends == [(THREAD, "call_own"), (OTHER, "call_review")]
    assert found.events.filter(kind="exec_approval_request").height == 1
    skipped = {row["thread_id"]: json.loads(row["skipped"]) for row in found.spines.to_dicts()}
    assert skipped[THREAD]["forwarded_from_reviewer"] == passed_on and "forwarded_from_reviewer" not in skipped[OTHER]


@pytest.mark.parametrize("reported", [True, False])
def test_a_fork_s_spine_counts_no_tokens_of_its_parent_whether_codex_reports_them_before_the_first_request_or_not(
    tmp_path, reported
):
    """Without that report the first request's own figure tells its tokens from the parent's."""

    def count(spine: Spine, total: int) -> Spine:
        return spine.event("0", "token_count", info=tokens(0, total, last=100)["payload"]["info"])

    spine = Spine().meta(forked_from_id=OTHER).prompt("0", "go on")
    if reported:
        count(spine, 1000)
    spine.event("0", "agent_message", message="I do.")
    count(spine, 1100)
    count(spine, 1300).done("0").write(tmp_path)
    found = ingest(tmp_path)
    turns = canon.turns.build(found.events, found.spines)
    assert turns["total_tokens"].sum() == 300
    sessions = canon.everything.build(found.events, found.spines).sessions
    assert sessions["input_tokens"].item() == (300 if reported else 290)
