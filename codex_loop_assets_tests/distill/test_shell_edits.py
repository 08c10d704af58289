"""Laws of reading edits off shell commands: literal here-documents only."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.distill.shell_edits import edits


@pytest.mark.parametrize(
    "command",
    [
        "cat <<'EOF' > docs/a.md\nx $HOME `id`\ny\nEOF",
        "cat > docs/a.md <<'EOF'\nx $HOME `id`\ny\nEOF\n",
        "mkdir -p docs && cat <<'EOF' > 'docs/a.md'\nx $HOME `id`\ny\nEOF",
        "tee docs/a.md <<'EOF' > /dev/null\nx $HOME `id`\ny\nEOF",
    ],
)
def test_a_literal_here_document_is_the_files_new_content(command):
    (edit,) = edits(command)
    assert (edit.kind, edit.path, edit.content) == ("add", "docs/a.md", "x $HOME `id`\ny\n")


def test_a_patch_in_a_here_document_is_a_patch():
    (edit,) = edits("apply_patch << 'PATCH'\n*** Begin Patch\n*** Delete File: a.py\n*** End Patch\nPATCH\n")
    assert (edit.kind, edit.path) == ("delete", "a.py")


@pytest.mark.parametrize(
    "command",
    [
        "cat <<EOF > a\n$HOME\nEOF",
        "cat <<'EOF' > a\nx\nEOF\nrm a",
        "cat <<'EOF' >> a\nx\nEOF",
        "cat a",
        "cat <<'EOF' > $X\nx\nEOF",
        "cat <<'EOF' > a\nx\n",
        "cat <<'EOF' | sh\nx\nEOF",
        "cat b <<'EOF' > a\nx\nEOF",
        "sudo tee a <<'EOF'\nx\nEOF",
        "",
    ],
)
def test_anything_else_is_left_unknown(command):
    assert edits(command) == []


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=40))
def test_what_is_read_is_what_bash_writes(body):
    command = f"cat <<'EOF' > a.txt\n{body}\nEOF\n"
    found = edits(command)
    if found:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True)
            assert (Path(folder) / "a.txt").read_bytes().decode() == found[-1].content
