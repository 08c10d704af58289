"""Sessions sorted into days: by their start, for good, and without opening what a day holds already."""

from codex_loop_assets.traces.assign import assign
from codex_loop_assets.traces.discover import discover, locate
from codex_loop_assets.traces.homes import CodexHome
from codex_loop_assets_tests.traces.building import (
    OTHER,
    THREAD,
    ingest,
    line,
    meta,
    prompt,
    rollout_path,
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
