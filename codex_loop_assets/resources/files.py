"""Files that people read (reports, tickets, exports): replaced whole, so that nobody sees half of one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text beside its place and rename it over; lone surrogates of a trace become question marks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="replace")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def replace_folder(folder: Path, files: Mapping[str, str] | Iterable[tuple[str, str]]) -> int:
    """Make a folder hold exactly these text files (name, text) and return their number: each is written as it comes, then
    those of an earlier build are removed, so that an open page never leads into a half-built site."""
    kept = set()
    for name, text in files.items() if isinstance(files, Mapping) else files:
        write_text(folder / name, text)
        kept.add(folder / name)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path not in kept:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return len(kept)
