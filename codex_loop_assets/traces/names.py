"""What rollout file names say: `rollout-<local time>-<thread id>[_<rollout id>].jsonl[.zst]`, or `.json` in the first
months."""

from __future__ import annotations

import re

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_ROLLOUT = re.compile(rf"^rollout-(?:\d{{4}}-\d{{2}}-\d{{2}}(?:T\d{{2}}-\d{{2}}-\d{{2}})?)-({_UUID})(?:_({_UUID}))?$")
_SUFFIXES = (".jsonl.zst", ".jsonl", ".json.zst", ".json")


def stem(path: str) -> str:
    """File name without the suffixes that archiving and compression change."""
    name = path.rpartition("/")[2]
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def is_document(path: str) -> bool:
    """Whether a file is a session in a single JSON document, as the first Codex wrote it."""
    return path.endswith((".json", ".json.zst"))


def names_thread(path: str) -> bool:
    """Whether the file's name holds a thread id."""
    return _ROLLOUT.match(stem(path)) is not None


def rollout_thread(path: str) -> str:
    """Thread id in a rollout's file name; the name itself where there is none."""
    match = _ROLLOUT.match(stem(path))
    return match[1].lower() if match else stem(path)


def stem_id(path: str) -> str:
    """Id of the rollout file itself: the second id of its name, else its thread's."""
    match = _ROLLOUT.match(stem(path))
    return (match[2] or match[1]).lower() if match else stem(path)
