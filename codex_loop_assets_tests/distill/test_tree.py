"""Laws of trees: safe paths, reproducible archives, and reading commits without running anything."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.distill import repository as git_repository
from codex_loop_assets.distill.tree import Entry, UnsafePath, archive, safe_path
from codex_loop_assets_tests.distill.worlds import git, repository

NAMES = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1, max_size=4).map("/".join)


@given(NAMES)
def test_a_safe_path_stays_below_its_root(name):
    try:
        path = safe_path(name)
    except UnsafePath:
        return
    assert os.path.normpath(os.path.join("/root", path)).startswith("/root/")
    assert ".git" not in path.split("/") and not any(ord(character) < 32 for character in path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/../..", "/a", "a/.GIT/config", "a\0b", "a\nb", "~/x", "\udc80"])
def test_what_no_tree_may_hold_is_refused(name):
    with pytest.raises(UnsafePath):
        safe_path(name)


def test_an_archive_depends_on_the_tree_alone():
    one = {"b": Entry(b"2", "100755"), "a": Entry(b"1"), "link": Entry(b"a", "120000")}
    other = {"link": Entry(b"a", "120000"), "a": Entry(b"1"), "b": Entry(b"2", "100755")}
    assert archive(one) == archive(other)
    with tarfile.open(fileobj=io.BytesIO(archive(one))) as bundle:
        assert [(item.name, item.mode, item.mtime, item.uid) for item in bundle if item.isfile()] == [
            ("a", 0o644, 0, 0),
            ("b", 0o755, 0, 0),
        ]


def test_a_commit_is_read_whole_although_attributes_would_leave_files_out(tmp_path):
    files = {".gitattributes": "tests export-ignore\n", "tests/t.py": "pass\n", "a b/ü.txt": "x"}
    commit = repository(tmp_path, files)
    assert {path: entry.data.decode() for path, entry in git_repository.read_commit(tmp_path, commit).items()} == files


def test_nothing_a_repository_configures_is_run(tmp_path):
    commit = repository(tmp_path / "r", {"a.txt": "x\n", ".gitattributes": "*.txt diff=evil filter=evil\n"})
    canary = tmp_path / "canary"
    for key in (
        "core.fsmonitor",
        "diff.external",
        "diff.evil.textconv",
        "filter.evil.smudge",
        "core.pager",
        "core.sshCommand",
    ):
        git(tmp_path / "r", "config", key, f"touch {canary}")
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        file = tmp_path / "r" / ".git" / "hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch {canary}\n")
        file.chmod(0o755)
    git_repository.read_commit(tmp_path / "r", commit)
    assert not canary.exists()


@pytest.mark.parametrize("commit", ["--help", "HEAD; touch x", "$(id)", "main", "", "abc"])
def test_only_commit_ids_are_read(tmp_path, commit):
    with pytest.raises(git_repository.RepositoryError):
        git_repository.read_commit(tmp_path, commit)


def test_a_bundle_is_opened_once_and_reads_like_the_clone(tmp_path):
    commit = repository(tmp_path / "r", {"a": "x"})
    git(tmp_path / "r", "bundle", "create", "--quiet", str(tmp_path / "r.bundle"), "--all")
    first = git_repository.opened(tmp_path / "r.bundle", tmp_path / "cache")
    assert git_repository.opened(tmp_path / "r.bundle", tmp_path / "cache") == first
    assert git_repository.read_commit(first, commit) == {"a": Entry(b"x")}


CONTENT = st.dictionaries(
    st.sampled_from(["a", "b/c", 'q"uote', "ü", "back\\slash", "d e"]),
    st.builds(Entry, st.binary(max_size=40), st.sampled_from(["100644", "100755"])),
    max_size=4,
)


@settings(max_examples=12, deadline=None)
@given(CONTENT, CONTENT)
def test_a_diff_applied_to_the_one_tree_gives_the_other(before, after):
    with git_repository.scratch_store() as store:
        assert store.apply(before, store.diff(before, after)) == after


def test_a_patch_that_would_leave_the_tree_is_refused():
    patch = b"--- a/x\n+++ b/../../x\n@@ -0,0 +1 @@\n+x\n"
    with git_repository.scratch_store() as store, pytest.raises(git_repository.RepositoryError):
        store.apply({}, patch)
