"""Whatever the bytes, reading never raises, and every line is accounted for."""

import json
import tempfile
from pathlib import Path
from unittest import mock

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_loop_assets import canon
from codex_loop_assets.traces import rollout
from codex_loop_assets_tests.traces.building import (
    OTHER,
    THREAD,
    Spine,
    answer,
    call,
    dumps,
    exited,
    ingest,
    line,
    meta,
    prompt,
    rollout_path,
    said,
    tokens,
)  # fmt: skip

QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ROLLOUT = [
    line(0, "session_meta", meta()), *prompt(1, "fix it"), line(1, "turn_context", {"model": "m"}),
    *call(2, "c1", "ls", exited(1, "no")), tokens(3, 9), *answer(4, "Fixed."), *prompt(5, "thanks ✓ 谢谢"),
]  # fmt: skip
BARE = [{"id": THREAD, "timestamp": "2025-07-25T09:00:00.000Z"}, said("user", "hi"), {"record_type": "state"}]
SPINE = Spine().meta().prompt("0", "fix it").shell("0", "c1", "ls", 1).done("0").records
KNOWN = [*ROLLOUT, *BARE, *SPINE]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def canonical(found) -> None:
    turns = canon.turns.build(found.events, found.spines)
    calls = canon.tool_calls.build(found.events, found.spines)
    canon.sessions.build(found.events, found.spines, turns, calls)


def ingest_rollout(data: bytes):
    found = read_rollout(data)
    canonical(found)
    return found


def read_rollout(data: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = rollout_path(Path(folder))
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        found = ingest(Path(folder))
    physical = data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    assert found.spines["lines"][0] == physical
    return found


def ingest_spine(data: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace_spine" / THREAD / "segment-000.jsonl"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        found = ingest(Path(folder))
    canonical(found)
    return found


@QUICK
@given(st.lists(st.binary(max_size=80) | st.sampled_from([dumps(entry) for entry in KNOWN]), max_size=8))
def test_any_bytes_are_read_without_an_exception(parts):
    data = b"\n".join(parts)
    ingest_rollout(data)
    ingest_spine(data)
    ingest_rollout(dumps(ROLLOUT[0]) + b"\n" + data)


@st.composite
def disturbed(draw, records):
    """Known records with fields dropped, replaced by anything, or added, at any depth."""
    record = json.loads(json.dumps(draw(st.sampled_from(records))))
    place, path = record, []
    while isinstance(place, dict | list) and place and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        path.append((place, key))
        place = place[key]
    if path:
        holder, key = path[-1]
        if draw(st.booleans()) and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = draw(JSON)
    record[draw(st.text(max_size=5))] = draw(JSON)
    return record


@QUICK
@given(st.lists(disturbed(KNOWN), min_size=1, max_size=6))
def test_any_field_may_be_missing_new_or_of_another_type_in_any_mix_of_eras(records):
    data = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    ingest_rollout(dumps(ROLLOUT[0]) + b"\n" + data)
    ingest_spine(dumps(SPINE[0]) + b"\n" + data)


def reasoned(seconds: float, text: str | None) -> list[dict]:
    """A request's reasoning: its summary as an event and as an item, or the encrypted text alone."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    item = {"type": "reasoning", "summary": summary, "content": None, "encrypted_content": "gAAA-_="}
    event = [line(seconds, "event_msg", {"type": "agent_reasoning", "text": text})] if text else []
    return [*event, line(seconds, "response_item", item)]


CONTEXT = {"cwd": "/home/ann/app", "approval_policy": "never", "model": "m"}
COMMIT = {"id": "a1b2", "parent": None, "preexisting_untracked_files": [], "preexisting_untracked_dirs": []}
FREQUENT = [
    *(tokens(n, total) for n, total in enumerate((0, 30, 30, 99))),
    *(line(4, "turn_context", context) for context in (CONTEXT, {**CONTEXT, "turn_id": "t1"}, {"turn_id": "t2"})),
    *reasoned(5, "why"), *reasoned(6, None),
    line(7, "response_item", {"type": "ghost_snapshot", "ghost_commit": COMMIT}),
    line(8, "event_msg", {"type": "agent_message_delta", "delta": "a"}), *prompt(9, "go on"),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(FREQUENT) | disturbed(FREQUENT), max_size=8),
    st.sampled_from([None, (",", ":")]),
    st.booleans(),
)
def test_lines_read_without_decoding_say_what_decoding_says(records, separators, numbered):
    """Nothing but the time depends on which tags are recognised. (Turn contexts are the same only word by word.)"""
    data = dumps(ROLLOUT[0]) + b"\n"
    for place, record in enumerate(records):
        head = {"timestamp": None, "ordinal": place} if numbered else {"timestamp": None}
        data += json.dumps({**head, **record}, separators=separators).encode() + b"\n"
    quickly = read_rollout(data)
    with mock.patch.object(rollout, "_QUICK_TAGS", {}):
        decoded = read_rollout(data)
    assert quickly.events.equals(decoded.events)
    counts = ("status", "lines_read", "lines_skipped", "lines_torn", "skipped", "unknown_kinds", "era")
    assert quickly.spines.select(counts).equals(decoded.spines.select(counts))


@pytest.mark.parametrize("records", [ROLLOUT, SPINE], ids=["rollout", "spine"])
def test_a_file_cut_at_any_byte_loses_at_most_its_last_line(records):
    data = b"".join(dumps(record) + b"\n" for record in records)
    read = ingest_rollout if records is ROLLOUT else ingest_spine
    for end in range(0, len(data), 173):
        found = read(data[:end])
        whole = data[:end].count(b"\n")
        row = found.spines.row(0, named=True)
        assert row["lines_torn"] <= 1
        if whole:
            assert row["status"] == "ingested" and row["lines_read"] + row["lines_skipped"] >= whole


@pytest.mark.parametrize("records", [ROLLOUT, SPINE], ids=["rollout", "spine"])
def test_a_file_that_grows_through_every_line_ends_equal_to_reading_it_once(tmp_path, records):
    data = b"".join(dumps(record) + b"\n" for record in records)
    path = rollout_path(tmp_path) if records is ROLLOUT else tmp_path / "trace_spine" / THREAD / "segment-000.jsonl"
    path.parent.mkdir(parents=True)
    found, ends = None, [n for n in range(1, len(data)) if data[n - 1 : n] == b"\n" or n % 211 == 0]
    for end in [*ends, len(data)]:
        path.write_bytes(data[:end])
        found = ingest(tmp_path, found)
    once = ingest(tmp_path)
    assert found.events.equals(once.events) and found.spines.equals(once.spines)


FIXTURES = Path(__file__).parents[2] / "fixtures" / "codex_home"
REALISTIC = sorted(
    path for path in FIXTURES.rglob("*.jsonl") if "artifacts" not in path.parts and path.stat().st_size < 60_000
)


def placed(home: Path, source: Path) -> Path:
    """Where a file of the fixtures lies in a home of its own."""
    path = home / source.relative_to(FIXTURES)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@st.composite
def cuts(draw, most: int) -> tuple[Path, list[int]]:
    """A realistic file and some of its bytes, in order."""
    path = draw(st.sampled_from(REALISTIC))
    return path, sorted(draw(st.lists(st.integers(0, path.stat().st_size), min_size=1, max_size=most)))


@settings(QUICK, max_examples=60)
@given(cuts(1))
def test_a_realistic_file_cut_at_a_byte_reads_as_its_whole_lines_do(cut):
    """What comes of the last line: nothing, or the whole record where only its line break is missing."""
    source, [end] = cut
    data = source.read_bytes()[:end]
    with tempfile.TemporaryDirectory() as folder:
        path = placed(Path(folder), source)
        path.write_bytes(data)
        found = ingest(Path(folder))
        canonical(found)
        assert found.spines["lines_torn"].sum() <= 1
        torn = found.spines["lines_torn"].sum()
        path.write_bytes(data[: data.rfind(b"\n") + 1] if torn else data + b"\n" * (not data.endswith(b"\n")))
        # The size of a record counts its line break.
        assert ingest(Path(folder)).events.drop("payload_bytes").equals(found.events.drop("payload_bytes"))


@settings(QUICK, max_examples=30)
@given(cuts(4))
def test_a_realistic_file_that_grows_through_any_bytes_ends_equal_to_reading_it_once(cut):
    source, ends = cut
    data, found = source.read_bytes(), None
    with tempfile.TemporaryDirectory() as folder:
        path = placed(Path(folder), source)
        for end in [*ends, len(data)]:
            path.write_bytes(data[:end])
            found = ingest(Path(folder), found)
        once = ingest(Path(folder))
    assert found.events.equals(once.events) and found.spines.equals(once.spines)


SMALL = [line(0, "session_meta", {"id": THREAD}), line(1, "event_msg", {"type": "user_message", "message": "ja ✓"})]
SMALL_SPINE = (
    Spine()
    .add("session_meta", {"id": THREAD})
    .submit("1", "user_input", items=[{"type": "text", "text": "ja ✓"}])
    .records
)


@pytest.mark.parametrize("records", [SMALL, SMALL_SPINE], ids=["rollout", "spine"])
def test_a_small_file_may_be_cut_at_every_byte_and_grow_by_every_byte(tmp_path, records):
    data = b"".join(dumps(record) + b"\n" for record in records)
    path = rollout_path(tmp_path) if records is SMALL else tmp_path / "trace_spine" / THREAD / "segment-000.jsonl"
    path.parent.mkdir(parents=True)
    grown = None
    for end in range(len(data) + 1):
        path.write_bytes(data[:end])
        cut, grown = ingest(tmp_path), ingest(tmp_path, grown)
        assert cut.events.equals(grown.events) and cut.spines.equals(grown.spines), end
        assert cut.spines["lines_torn"].sum() <= 1
        # A line whose break alone is missing is whole.
        assert cut.events.height == data[: end + 1].count(b"\n"), end


@QUICK
@given(st.permutations(list(range(len(SPINE)))))
def test_records_in_any_order_keep_their_numbers_unique(order):
    data = b"".join(dumps(SPINE[n]) + b"\n" for n in order)
    events = ingest_spine(data).events
    assert events.select("run", "seq").is_unique().all()


@QUICK
@given(st.integers(0, len(ROLLOUT) - 1), st.sampled_from([OTHER, "", None, 7]))
def test_metadata_anywhere_in_a_file_never_raises(place, identity):
    records = list(ROLLOUT)
    records.insert(place, line(9, "session_meta", {"id": identity, "source": {"subagent": {"thread_spawn": 1}}}))
    ingest_rollout(b"".join(dumps(record) + b"\n" for record in records))


@QUICK
@given(st.binary(max_size=60), st.sampled_from([".jsonl.zst", ".json", ".json.zst"]), st.booleans())
def test_any_bytes_in_a_compressed_file_or_a_document_never_raise(tail, suffix, genuine):
    head = (
        dumps({"session": {"id": THREAD}, "items": [said("user", "hi")]})
        if "jsonl" not in suffix
        else dumps(ROLLOUT[0])
    )
    start = zstandard.ZstdCompressor().compress(head + b"\n") if suffix.endswith(".zst") else head
    with tempfile.TemporaryDirectory() as folder:
        path = rollout_path(Path(folder), suffix=suffix)
        path.parent.mkdir(parents=True)
        path.write_bytes((start if genuine else b"") + tail)
        canonical(ingest(Path(folder)))
