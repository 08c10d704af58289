"""Laws of reading and applying Codex's two patch notations."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.distill.patches import PatchError, apply, from_changes, from_envelope
from codex_loop_assets.distill.tree import Entry, UnsafePath
from codex_loop_assets_tests.distill.worlds import hunks

ROOT = "/home/ann/calc"
LINES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=8), min_size=1, max_size=12
)


def tree(**files: str) -> dict[str, Entry]:
    return {name.replace("__", "."): Entry(text.encode()) for name, text in files.items()}


@given(LINES, LINES)
def test_a_recorded_update_leads_from_the_old_text_to_the_new(old, new):
    before, after = "".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new)
    change = json.dumps({f"{ROOT}/a.py": {"type": "update", "unified_diff": hunks(before, after), "move_path": None}})
    result = apply({"a.py": Entry(before.encode())}, from_changes(change), ROOT)
    assert result["a.py"].data == after.encode()


def test_an_update_finds_its_place_after_lines_moved():
    before, after = "a\nb\nc\n", "a\nB\nc\n"
    edits = from_changes(json.dumps({f"{ROOT}/x": {"type": "update", "unified_diff": hunks(before, after)}}))
    assert apply(tree(x="new\nnew\n" + before), edits, ROOT)["x"].data == ("new\nnew\n" + after).encode()


def test_an_update_that_does_not_fit_is_refused_and_not_guessed():
    edits = from_changes(json.dumps({f"{ROOT}/x": {"type": "update", "unified_diff": hunks("a\n", "b\n")}}))
    with pytest.raises(PatchError, match="not found"):
        apply(tree(x="other\n"), edits, ROOT)


def test_an_envelope_adds_deletes_moves_and_updates():
    edits = from_envelope(
        "*** Begin Patch\n*** Add File: new.txt\n+one\n+two\n*** Delete File: old.txt\n"
        "*** Update File: a.py\n*** Move to: b.py\n@@ def f():\n-    return 1\n+    return 2\n*** End Patch\n"
    )
    result = apply(tree(old__txt="x\n", a__py="def g():\n    return 1\ndef f():\n    return 1\n"), edits, ROOT, ROOT)
    assert {path: entry.data for path, entry in result.items()} == {
        "new.txt": b"one\ntwo\n",
        "b.py": b"def g():\n    return 1\ndef f():\n    return 2\n",
    }


def test_paths_are_taken_relative_to_the_calls_directory():
    edits = from_envelope("*** Begin Patch\n*** Add File: ../top.txt\n+x\n*** End Patch")
    assert list(apply({}, edits, ROOT, f"{ROOT}/sub")) == ["top.txt"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", f"{ROOT}/../other/x", f"{ROOT}/.git/hooks/post-checkout", f"{ROOT}/a\nb"]
)
def test_a_patch_cannot_leave_the_repository(path):
    with pytest.raises(UnsafePath):
        apply({}, from_changes(json.dumps({path: {"type": "add", "content": "x"}})), ROOT)


@given(st.text(max_size=300))
def test_unreadable_patches_are_refused_with_a_reason(text):
    for read in (from_changes, from_envelope):
        try:
            read(text)
        except PatchError as error:
            assert str(error)


def test_the_mode_of_a_script_survives_an_update():
    before = {"run.sh": Entry(b"#!/bin/sh\nfalse\n", "100755")}
    edits = from_changes(
        json.dumps(
            {f"{ROOT}/run.sh": {"type": "update", "unified_diff": hunks("#!/bin/sh\nfalse\n", "#!/bin/sh\ntrue\n")}}
        )
    )
    assert apply(before, edits, ROOT)["run.sh"] == Entry(b"#!/bin/sh\ntrue\n", "100755")
