"""File trees as values: a mapping of repository-relative path to content, and the rule for which paths may be in one.

What belongs here: the value, path safety, a byte-reproducible tar of it. What does not: where a tree comes from
(`repository`, `replay`).
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["100644", "100755", "120000"]


class UnsafePath(ValueError):
    """A path from a trace or an archive that would leave the tree, or that no tree may hold."""


@dataclass(frozen=True)
class Entry:
    """One file: its bytes (the target, for a symbolic link) and its Git mode."""

    data: bytes
    mode: Mode = "100644"

    @property
    def text(self) -> str | None:
        """Content as text; None for links and for what is not UTF-8 or holds a NUL."""
        if self.mode == "120000" or b"\0" in self.data:
            return None
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError:
            return None


Tree = Mapping[str, Entry]


def safe_path(path: str) -> str:
    """The path in normal form, relative to the tree's root.

    Raises UnsafePath for absolute paths, paths that climb out, control characters, and anything inside `.git`.
    """
    if (
        not path
        or path.startswith(("/", "~"))
        or any(ord(character) < 32 or ord(character) == 127 for character in path)
    ):
        raise UnsafePath(f"not a path inside the repository: {path!r}")
    normal = posixpath.normpath(path)
    parts = normal.split("/")
    if normal == "." or ".." in parts or any(part.lower() == ".git" for part in parts):
        raise UnsafePath(f"not a path inside the repository: {path!r}")
    try:
        normal.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnsafePath(f"not a UTF-8 path: {path!r}") from error
    return normal


def relative_to(path: str, root: str, cwd: str | None = None) -> str:
    """A path as a trace names it (absolute, or relative to `cwd`), relative to the repository at `root`.

    Raises UnsafePath when it lies outside `root`.
    """
    absolute = posixpath.normpath(posixpath.join(cwd or root, path))
    base = posixpath.normpath(root).rstrip("/")
    if not absolute.startswith(base + "/"):
        raise UnsafePath(f"{path!r} lies outside {root!r}")
    return safe_path(absolute[len(base) + 1 :])


def archive(tree: Tree) -> bytes:
    """The tree as an uncompressed tar whose bytes depend on the tree alone (sorted, no times, no owners)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as bundle:
        for path in sorted(tree):
            entry = tree[path]
            member = tarfile.TarInfo(safe_path(path))
            member.mode = 0o755 if entry.mode == "100755" else 0o644
            if entry.mode == "120000":
                member.type, member.linkname = tarfile.SYMTYPE, entry.data.decode("utf-8", "surrogateescape")
                bundle.addfile(member)
            else:
                member.size = len(entry.data)
                bundle.addfile(member, io.BytesIO(entry.data))
    return buffer.getvalue()


def size(tree: Tree) -> int:
    """Bytes of content in the tree."""
    return sum(len(entry.data) for entry in tree.values())


def changed(before: Tree, after: Tree) -> list[str]:
    """Paths that differ between two trees, sorted."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
