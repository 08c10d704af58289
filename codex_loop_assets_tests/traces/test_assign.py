"""Sessions sorted into days: by their start, for good, and without opening what a day holds already."""

import json
from datetime import date
from pathlib import Path

from codex_loop_assets.traces.assign import assign
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover, locate, opening
from codex_loop_assets.traces.homes import CodexHome
from codex_loop_assets_tests.traces.building import (
    OTHER,
    THREAD,
    ingest,
    line,
    meta,
    prompt,
    rollout_path,
    said,
    write_rollout,
)  # fmt: skip

BOUNDS = ("2025-04-01", "2026-03-01")


def never(ref):
    raise AssertionError(f"{ref.path} was opened")


def refs(home):
    return discover([CodexHome("ann", home, "laptop")])


def test_a_session_belongs_to_the_day_it_started_on(tmp_path):
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta()), *prompt(90_000, "a day later")])
    calendar = assign(refs(tmp_path), {}, locate, *BOUNDS)
    assert list(calendar.by_day) == calendar.changed == ["2026-02-01"]


def test_sessions_that_a_day_holds_are_not_opened_to_be_sorted_even_if_their_names_tell_no_thread(tmp_path):
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta()), *prompt(1, "one")])
    write_rollout(tmp_path / "sessions" / "notes.jsonl", [line(0, "session_meta", meta(OTHER)), *prompt(1, "two")])
    found = ingest(tmp_path)
    calendar = assign(refs(tmp_path), {"2026-02-01": found.spines}, never, *BOUNDS)
    assert [ref.thread_id for ref in calendar.by_day["2026-02-01"]] == [THREAD, "notes"]
    assert calendar.changed == []


def test_a_wrong_clock_does_not_put_a_session_outside_the_days(tmp_path):
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta(timestamp="1999-01-01T00:00:00Z"))])
    assert list(assign(refs(tmp_path), {}, locate, *BOUNDS).by_day) == ["2025-04-01"]


def test_a_grown_session_changes_its_day_and_no_other(tmp_path):
    path = write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta()), *prompt(1, "one")])
    found = ingest(tmp_path)
    write_rollout(path, [line(0, "session_meta", meta()), *prompt(1, "one"), *prompt(200_000, "two")])
    calendar = assign(refs(tmp_path), {"2026-02-01": found.spines}, never, *BOUNDS)
    assert calendar.changed == ["2026-02-01"]


def test_saves_of_one_session_on_both_sides_of_midnight_are_counted_once(tmp_path):
    """The first builds gave each save an id and a time of its own; whichever the platform sees first, one day holds all."""
    words = [said("user", "hi"), said("assistant", "hello"), said("user", "fix it"), said("assistant", "fixed")]
    document(tmp_path, 1, "2025-04-20T23:59:00.000Z", words[:2])
    first = assign(refs(tmp_path), {}, locate, *BOUNDS, opening)
    held = build_day(date(2025, 4, 20), first.by_day["2025-04-20"])
    document(tmp_path, 2, "2025-04-21T00:04:00.000Z", words)
    document(tmp_path, 3, "2025-04-21T00:05:00.000Z", [said("user", "hi"), said("assistant", "good evening")])
    document(tmp_path, 4, "2025-04-21T00:06:00.000Z", [said("user", "hi")])
    for known, previous in (({}, None), ({"2025-04-20": held.spines}, held)):
        calendar = assign(refs(tmp_path), known, locate, *BOUNDS, opening)
        assert {day: len(found) for day, found in calendar.by_day.items()} == {"2025-04-20": 2, "2025-04-21": 2}
        earlier = (previous.spines, previous.events) if previous else ()
        found = build_day(date(2025, 4, 20), calendar.by_day["2025-04-20"], *earlier)
        assert found.spines.sort("path")["status"].to_list() == ["superseded", "ingested"]
        assert found.events.filter(role="user")["text"].to_list() == ["hi", "fix it"]
    again = assign(refs(tmp_path), {"2025-04-20": found.spines}, locate, *BOUNDS, opening)
    assert again.changed == ["2025-04-21"]


def test_sessions_that_only_begin_with_the_same_words_keep_their_own_days(tmp_path):
    """Greetings are alike: of another month, or of another person's home, they are no saves of one session."""
    words = [said("user", "hi"), said("assistant", "hello")]
    document(tmp_path / "ann", 1, "2025-04-20T10:00:00.000Z", words)
    document(tmp_path / "ann", 2, "2025-04-23T10:00:00.000Z", words)
    document(tmp_path / "bob", 3, "2025-04-21T10:00:00.000Z", words)
    sources = discover([CodexHome(name, tmp_path / name, "here") for name in ("ann", "bob")])
    held = assign(sources, {}, locate, *BOUNDS, opening)
    assert sorted(held.by_day) == ["2025-04-20", "2025-04-21", "2025-04-23"]
    built = build_day(date(2025, 4, 20), held.by_day["2025-04-20"])
    assert assign(sources, {"2025-04-20": built.spines}, locate, *BOUNDS, opening).by_day == held.by_day


def document(home: Path, number: int, started: str, items: list[dict]) -> None:
    thread = f"0195aaaa-0000-4000-8000-{number:012d}"
    path = home / "sessions" / f"rollout-{started[:10]}-{thread}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"session": {"id": thread, "timestamp": started, "instructions": ""}, "items": items}))
