"""What is remembered of forgotten threads: a hash of each one's id, so that its files, which stay where Codex left them, are
passed over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from filelock import FileLock

from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home


def forgotten_hashes(home: Home) -> frozenset[str]:
    """Hashes of the ids of forgotten threads."""
    try:
        return frozenset((home.root / "forgotten").read_text("utf-8").split())
    except FileNotFoundError:
        return frozenset()


def thread_hash(thread_id: str) -> str:
    """What is remembered of a forgotten thread."""
    return hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()


def returned(home: Home) -> set[str]:
    """Forgotten threads that the ledger lists: a run that was under way had read them before, and wrote after, they went."""
    gone = forgotten_hashes(home)
    threads = set(home.lake.read("spines")["thread_id"]) if gone else set()
    return {thread for thread in threads if thread_hash(thread) in gone}


def remember(home: Home, threads: Iterable[str]) -> None:
    """Add threads to those that are not read again."""
    with FileLock(home.root / "locks" / "forgotten.lock"):
        known = forgotten_hashes(home) | {thread_hash(thread) for thread in threads}
        write_text(home.root / "forgotten", "\n".join(sorted(known)) + "\n")
