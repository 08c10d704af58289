"""A day's tables: only what changed is read, nothing is lost, and a thread counts once."""

import json
import os
import shutil
import sys
from datetime import timedelta

import polars as pl
import zstandard

from codex_loop_assets.traces.discover import discover, locate
from codex_loop_assets.traces.homes import CodexHome
from codex_loop_assets_tests.traces.building import (
    OTHER,
    START,
    THREAD,
    Spine,
    answer,
    ingest,
    line,
    meta,
    prompt,
    rollout_path,
    write_rollout,
)  # fmt: skip

LINES = [
    line(0, "session_meta", meta()),
    *prompt(1, "one"),
    *answer(2, "First."),
    *prompt(3, "two"),
    *answer(4, "Second."),
]


class Opened:
    """Paths opened below a directory while it is active, seen from outside by an audit hook."""

    def __init__(self, root):
        self.root, self.paths, self.active = str(root), [], False
        sys.addaudithook(self._hook)

    def _hook(self, event, args):
        if (
            self.active
            and event == "open"
            and isinstance(args[0], str | os.PathLike)
            and str(args[0]).startswith(self.root)
        ):
            self.paths.append(str(args[0]))

    def __enter__(self):
        self.active = True
        return self

    def __exit__(self, *_):
        self.active = False


def test_an_unchanged_day_opens_no_session_file(tmp_path):
    write_rollout(rollout_path(tmp_path), LINES)
    Spine(OTHER).meta().prompt("0", "hello").done("0").write(tmp_path)
    first = ingest(tmp_path)
    with Opened(tmp_path) as opened:
        second = ingest(tmp_path, first)
    assert opened.paths == [] and second.opened == []
    assert second.spines.equals(first.spines) and second.events.equals(first.events)


def test_of_many_sessions_only_the_grown_one_is_opened(tmp_path):
    threads = [f"019c1b2e-7c1a-7d31-9a54-{n:012x}" for n in range(20)]
    for thread in threads:
        write_rollout(rollout_path(tmp_path, thread), [line(0, "session_meta", meta(thread)), *prompt(1, "one")])
    first = ingest(tmp_path)
    grown = rollout_path(tmp_path, threads[7])
    write_rollout(grown, [line(0, "session_meta", meta(threads[7])), *prompt(1, "one"), *prompt(2, "two")])
    with Opened(tmp_path) as opened:
        second = ingest(tmp_path, first)
    assert set(opened.paths) == {str(grown)}
    assert second.events.height == first.events.height + 2
    assert second.events.equals(ingest(tmp_path).events)


def test_listing_opens_nothing_and_locating_reads_one_head(tmp_path):
    path = write_rollout(rollout_path(tmp_path), LINES)
    with Opened(tmp_path) as opened:
        refs = discover([CodexHome("ann", tmp_path)])
    assert opened.paths == [] or opened.paths == [str(tmp_path)]
    with Opened(tmp_path) as opened:
        assert locate(refs[0]) == (START, "metadata")
    assert set(opened.paths) == {str(path)}


def test_a_file_moved_to_the_archive_is_the_same_source_and_is_not_read_again(tmp_path):
    path = write_rollout(rollout_path(tmp_path), LINES)
    first = ingest(tmp_path)
    archived = rollout_path(tmp_path, folder="archived_sessions")
    archived.parent.mkdir()
    os.rename(path, archived)
    with Opened(tmp_path) as opened:
        second = ingest(tmp_path, first)
    assert opened.paths == []
    assert second.spines.select("path", "status").rows() == [(str(archived.relative_to(tmp_path)), "ingested")]
    assert second.events.equals(ingest(tmp_path).events)


def test_a_file_that_was_compressed_is_the_same_source(tmp_path):
    path = write_rollout(rollout_path(tmp_path), LINES)
    first = ingest(tmp_path)
    rollout_path(tmp_path, suffix=".jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    path.unlink()
    second = ingest(tmp_path, first)
    assert second.spines["status"].to_list() == ["ingested"]
    assert second.events.drop("file").equals(first.events.drop("file"))


def test_a_source_that_is_gone_keeps_its_rows_and_comes_back(tmp_path):
    path = write_rollout(rollout_path(tmp_path), LINES)
    first = ingest(tmp_path)
    aside = tmp_path / "aside"
    shutil.move(path, aside)
    gone = ingest(tmp_path, first)
    assert gone.spines["status"].to_list() == ["vanished"] and "no longer there" in gone.spines["reason"][0]
    assert gone.events.equals(first.events)
    still_gone = ingest(tmp_path, gone)
    assert still_gone.spines.equals(gone.spines)
    shutil.move(aside, path)
    back = ingest(tmp_path, gone)
    assert back.spines["status"].to_list() == ["ingested"] and back.events.equals(first.events)


def test_a_young_session_is_active_until_it_is_quiet(tmp_path):
    write_rollout(rollout_path(tmp_path), LINES)
    first = ingest(tmp_path, now=START + timedelta(hours=1))
    assert first.spines["status"][0] == "active"
    later = ingest(tmp_path, first, now=START + timedelta(hours=7))
    assert later.spines["status"][0] == "ingested" and later.opened == []


def words(events: pl.DataFrame) -> list[str]:
    return events.filter(pl.col("role").is_not_null())["text"].drop_nulls().to_list()


def spine_of(last: int) -> Spine:
    spine = Spine().meta()
    for number, words in enumerate(("one", "two"), 1):
        if number <= last:
            spine.prompt(str(number), words).done(str(number))
    for record, seconds in zip(spine.records, range(len(spine.records)), strict=True):
        record["timestamp"] = line(seconds / 10, "", None)["timestamp"]
    return spine


def test_a_rollout_that_the_spine_covers_is_superseded_and_its_lines_are_still_counted(tmp_path):
    spine_of(2).write(tmp_path)
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta()), *prompt(0.5, "one"), *prompt(0.9, "two")])
    found = ingest(tmp_path)
    rollout = found.spines.filter(pl.col("source") == "rollout").row(0, named=True)
    assert (rollout["status"], rollout["records"], rollout["lines"], json.loads(rollout["skipped"])) == (
        "superseded", 0, 5, {"superseded": 5},
    )  # fmt: skip
    assert found.events["source"].unique().to_list() == ["spine"]
    assert json.loads(rollout["coverage"])["rollout"]["prompts"] == 2


def test_what_a_spine_lacks_comes_from_the_rollout_in_its_place(tmp_path):
    """A writer that died early: the session went on, and only the rollout knows."""
    spine_of(1).write(tmp_path)
    late = [*prompt(60, "two"), *answer(61, "Second.")]
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta()), *prompt(0.5, "one"), *late])
    found = ingest(tmp_path)
    statuses = dict(found.spines.select("source", "status").rows())
    assert statuses == {"spine": "ingested", "rollout": "partially_superseded"}
    ordered = found.events.sort("ordinal")
    assert words(ordered) == ["one", "Done.", "two", "Second."]
    assert ordered["source"].to_list()[-4:] == ["rollout"] * 4
    assert ordered.select("run", "seq").is_unique().all()


def test_a_thread_older_than_its_spine_begins_with_the_rollout(tmp_path):
    spine = spine_of(1)
    for number, record in enumerate(spine.records):
        record["timestamp"] = line(900 + number / 10, "", None)["timestamp"]
    spine.write(tmp_path)
    write_rollout(
        rollout_path(tmp_path), [line(0, "session_meta", meta()), *prompt(1, "before"), *prompt(900.5, "one")]
    )
    ordered = ingest(tmp_path).events.sort("ordinal")
    assert words(ordered) == ["before", "one", "Done."]


def test_a_thread_in_two_homes_counts_once(tmp_path):
    from codex_loop_assets.traces.day import build_day
    from codex_loop_assets_tests.traces.building import DAY

    write_rollout(rollout_path(tmp_path / "a"), LINES)
    write_rollout(rollout_path(tmp_path / "b"), LINES[:3])
    found = build_day(DAY, discover([CodexHome("a", tmp_path / "a"), CodexHome("b", tmp_path / "b")]))
    assert dict(found.spines.select("home", "status").rows()) == {"a": "ingested", "b": "superseded"}
    assert found.events.height == len(LINES)


def test_a_home_with_nothing_in_it_is_an_empty_day_with_its_schema(tmp_path):
    found = ingest(tmp_path)
    assert found.spines.is_empty() and found.events.is_empty() and "ordinal" in found.events.columns


def test_the_platforms_own_sessions_can_be_excluded_and_stay_in_the_ledger(tmp_path):
    from codex_loop_assets.traces.settings import read_settings

    write_rollout(rollout_path(tmp_path), LINES)
    found = ingest(tmp_path, settings=read_settings({"traces": {"excluded_cwd": ["/ann/"]}}))
    assert found.spines.select("status", "lines_read", "thread_id").row(0) == ("excluded", 0, THREAD)
    assert found.events.is_empty()


def test_a_link_back_up_the_tree_is_not_followed_for_ever(tmp_path):
    write_rollout(rollout_path(tmp_path), LINES)
    (tmp_path / "sessions" / "2026" / "loop").symlink_to(tmp_path / "sessions")
    assert ingest(tmp_path).spines.height == 1
