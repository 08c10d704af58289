"""Laws of bundles: what was copied reads back as the same records, and nothing of a person's is overwritten."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from codex_loop_assets.distill.bundle import BundleError, read_bundle, write_bundle
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover
from codex_loop_assets.traces.homes import CodexHome
from codex_loop_assets_tests.conftest import write_rollout

NOW = datetime(2026, 3, 24, tzinfo=UTC)
FIXTURES = CodexHome("fixtures", Path(__file__).parents[2] / "fixtures" / "codex_home")
WORDS = ("seq", "run", "kind", "turn_id", "call_id", "text", "command", "exit_code")


def with_sub_agent() -> tuple[str, str]:
    """(parent, child) of the fixtures, as the parent's own record says."""
    for path in sorted((FIXTURES.path / "trace_spine").glob("*/segment-000.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            if '"collab_agent_spawn_end"' in line:
                return path.parent.name, json.loads(line)["payload"]["msg"]["new_thread_id"]
    raise AssertionError("the fixtures hold no thread with a sub-agent")


@pytest.mark.parametrize("source", ["spine", "rollout"])
def test_a_bundle_reads_back_as_the_same_records_whichever_record_the_thread_has(tmp_path, source):
    refs = discover([FIXTURES])
    kinds = {thread: {ref.source for ref in refs if ref.thread_id == thread} for thread in {r.thread_id for r in refs}}
    thread = min(name for name, found in kinds.items() if found == {source})
    direct = build_day(date(2026, 3, 1), [ref for ref in refs if ref.thread_id == thread]).events
    write_bundle(thread, [FIXTURES], tmp_path / "out", NOW)
    bundle = read_bundle(tmp_path / "out")
    assert bundle.thread_id == thread
    assert direct.height > 5
    assert bundle.canon.events.select(WORDS).equals(direct.select(WORDS))
    manifest = json.loads((tmp_path / "out" / "bundle.json").read_text())
    assert manifest["bundle_version"] == "rollout_plus_v0" and all(isinstance(v, str) for v in manifest.values())
    assert ("rollout_path" in manifest) == (source == "rollout")
    assert ("spine_schema_version" in manifest) == (source == "spine")


def test_sub_agents_are_bundled_with_their_parent(tmp_path):
    parent, child = with_sub_agent()
    written = write_bundle(parent, [FIXTURES], tmp_path / "out", NOW)
    assert set(written) == {parent, child}
    bundle = read_bundle(tmp_path / "out")
    assert bundle.thread_id == parent
    assert set(bundle.canon.sessions["thread_id"]) == {parent, child}


def test_a_bare_spine_folder_is_as_good_as_a_bundle_whatever_its_name(tmp_path):
    parent, _ = with_sub_agent()
    (tmp_path / "renamed").symlink_to(FIXTURES.path / "trace_spine" / parent, target_is_directory=True)
    assert read_bundle(tmp_path / "renamed").thread_id == parent


def test_artifacts_stand_beside_the_spine_and_the_starting_diff_is_found_there(tmp_path):
    for ref in discover([FIXTURES]):
        diffs = [file for file in ref.files if file.path.endswith("artifacts/git_diff.patch")]
        if diffs:
            break
    write_bundle(ref.thread_id, [FIXTURES], tmp_path / "out", NOW)
    session = read_bundle(tmp_path / "out").canon.sessions.row(0, named=True)
    copied = tmp_path / "out" / "artifacts" / "git_diff.patch"
    assert copied.read_bytes() == (ref.root / diffs[0].path).read_bytes()
    assert tmp_path / "out" / session["starting_diff_path"] == copied


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BundleError, match="not an empty folder"):
        write_bundle(with_sub_agent()[0], [FIXTURES], tmp_path, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_thread_makes_no_folder(tmp_path):
    with pytest.raises(BundleError, match="no session"):
        write_bundle("019c0000-0000-7000-8000-00000000dead", [FIXTURES], tmp_path / "out", NOW)
    assert not (tmp_path / "out").exists()


def test_a_spine_that_cannot_be_used_is_refused_with_its_own_reason(tmp_path):
    (tmp_path / "codex" / "trace_spine" / "t-1").mkdir(parents=True)
    with pytest.raises(BundleError, match="holds no segment"):
        write_bundle("t-1", [CodexHome("codex", tmp_path / "codex")], tmp_path / "out", NOW)


def test_copies_of_a_thread_in_two_homes_are_never_mixed(tmp_path):
    short = write_rollout(tmp_path / "a", "2026-03-01", 1, ["make the tests pass"])
    long = write_rollout(tmp_path / "b", "2026-03-01", 1, ["make the tests pass", "and the build", "and the docs"])
    homes = [CodexHome(name, tmp_path / name) for name in ("a", "b")]
    write_bundle(short.stem[-36:], homes, tmp_path / "out", NOW)
    assert [path.read_bytes() for path in (tmp_path / "out" / "rollout").iterdir()] == [long.read_bytes()]


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"bundle_version": "rollout_plus_v0"}'])
def test_a_folder_that_is_no_bundle_is_refused_with_a_reason(tmp_path, manifest):
    with pytest.raises(BundleError, match="no bundle"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text(manifest)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(tmp_path)
