"""Bundles: one thread's files in a folder of their own, in the layout that Codex's `trace bundle` writes.

    bundle.json  spine/segment-NNN.jsonl, segment-NNN.meta.json  artifacts/  rollout/  bundles/<sub-agent>/…

What belongs here: copying a thread out of a Codex home, and reading a bundle back into the canonical tables. A bundle
is a copy of the raw record, with everything that was said and run in it: nothing is redacted.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from codex_loop_assets.canon import everything, lineage
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.traces.day import DayTraces, build_day
from codex_loop_assets.traces.discover import ROLLOUT, SPINE, SourceRef, discover, locate
from codex_loop_assets.traces.homes import CodexHome

VERSION = "rollout_plus_v0"
MANIFEST = "bundle.json"
_SEGMENT = re.compile(r"segment-(\d+)\.jsonl")
_PLAIN_NAME = re.compile(r"[\w-]{1,100}")


class BundleError(ValueError):
    """The thread or the bundle cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Bundle:
    """A folder that holds one thread (and its sub-agents): where it lies, the thread's id, the tables of its records."""

    path: Path
    thread_id: str
    canon: CanonTables


def write_bundle(thread_id: str, homes: Sequence[CodexHome], output: Path, now: datetime) -> dict[str, Path]:
    """Copy a thread and the sub-agents that its records name into `output`; the bundles written, by thread id.

    A thread with only a spine or only a rollout is bundled with what it has. Raises BundleError for an unknown thread,
    an output folder that is not empty, or a file that cannot be copied.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise BundleError(f"{output} is not an empty folder; name one that is empty or not there yet")
    by_thread: dict[str, list[SourceRef]] = {}
    found = discover(homes)
    for ref in found:
        if ref.error is None:
            by_thread.setdefault(ref.thread_id, []).append(ref)
    if thread_id not in by_thread:
        why = [ref.error for ref in found if ref.thread_id == thread_id and ref.error]
        raise BundleError("; ".join(why) or f"no session {thread_id} in {', '.join(str(home.path) for home in homes)}")
    written = {thread_id: output}
    pending = [thread_id]
    try:
        output.mkdir(parents=True, exist_ok=True, mode=0o700)
        for thread in pending:
            _copy(thread, by_thread[thread], written[thread], now)
            for child in _sub_agents(by_thread[thread]):
                if child in by_thread and child not in written and _PLAIN_NAME.fullmatch(child):
                    written[child] = output / "bundles" / child
                    pending.append(child)
    except OSError as error:
        raise BundleError(f"copying to {output} stopped, it is not complete: {error}") from error
    return written


def read_bundle(path: Path) -> Bundle:
    """The records of a bundle, or of a bare spine folder. Raises BundleError where there are none."""
    if not path.is_dir():
        raise BundleError(f"{path} is no folder")
    if (path / MANIFEST).is_file():
        bundled = _manifest(path)["thread_id"]
        canon = _tables([_named(ref) for ref in discover([CodexHome("bundle", path)]) if ref.error is None])
    elif any(_SEGMENT.fullmatch(entry.name) for entry in path.iterdir()):
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "trace_spine").mkdir()
            (Path(scratch) / "trace_spine" / "spine").symlink_to(path.resolve(), target_is_directory=True)
            (ref,) = discover([CodexHome("bundle", Path(scratch))])
            bundled = _in_head(ref, b"thread_id") or path.resolve().name
            canon = _tables([replace(ref, thread_id=bundled)])
    else:
        raise BundleError(f"{path} is no bundle: it holds neither {MANIFEST} nor segment-*.jsonl")
    found = canon.events["thread_id"].unique(maintain_order=True).to_list()
    if not found:
        reasons = "; ".join(canon.spines["reason"].drop_nulls()) or "its files are empty"
        raise BundleError(f"{path} holds no readable record: {reasons}")
    # A rollout's own metadata may name its thread otherwise than the manifest does.
    return Bundle(path, bundled if bundled in found else found[0], canon)


def _copy(thread_id: str, refs: list[SourceRef], target: Path, now: datetime) -> None:
    manifest = {"bundle_version": VERSION, "created_at": now.isoformat(timespec="seconds").replace("+00:00", "Z")}
    manifest["thread_id"] = thread_id
    for ref in _one_per_kind(refs):
        for file in ref.files:
            place = target / _place(ref, file.path)
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(ref.root / file.path, place)
        if ref.source == ROLLOUT:
            manifest["rollout_path"] = str((ref.root / ref.files[0].path).resolve())
        elif version := _in_head(ref, b"schema_version"):
            manifest["spine_schema_version"] = version
    text = json.dumps(manifest, indent=2, sort_keys=True)
    (target / MANIFEST).write_text(text + "\n", "utf-8")


def _one_per_kind(refs: list[SourceRef]) -> list[SourceRef]:
    """The fullest spine and the fullest rollout: copies of a thread in two homes must not be mixed into one folder."""
    return [
        max(same, key=lambda ref: ref.bytes)
        for kind in (SPINE, ROLLOUT)
        if (same := [ref for ref in refs if ref.source == kind])
    ]


def _place(ref: SourceRef, path: str) -> str:
    """Where a source's file stands in a bundle. Paths come from listing a folder, so they never lead out of it."""
    if ref.source == ROLLOUT:
        return f"rollout/{path.rpartition('/')[2]}"
    inner = path.removeprefix(f"{ref.path}/")
    return inner if inner.startswith("artifacts/") else f"spine/{inner}"


def _in_head(ref: SourceRef, key: bytes) -> str:
    """A text field of a spine's first record; '' where it is not to be seen."""
    with (ref.root / ref.files[0].path).open("rb") as file:
        found = re.search(rb'"%s": ?"([^"\\]+)"' % key, file.read(1000))
    return found[1].decode("utf-8", "replace") if found else ""


def _named(ref: SourceRef) -> SourceRef:
    """The source under the id that its bundle's manifest gives: the folder's own name says nothing."""
    place = ref.root / ref.path
    return replace(ref, thread_id=_manifest(place.parent if ref.source == SPINE else place.parent.parent)["thread_id"])


def _sub_agents(refs: list[SourceRef]) -> list[str]:
    return lineage.parents(_traces(refs).events)["child_id"].sort().to_list()


def _manifest(path: Path) -> Mapping[str, str]:
    try:
        found = json.loads((path / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path / MANIFEST} cannot be read: {error}") from error
    if not isinstance(found, dict) or found.get("bundle_version") != VERSION:
        raise BundleError(f"{path / MANIFEST} is no manifest of version {VERSION}")
    if not isinstance(found.get("thread_id"), str):
        raise BundleError(f"{path / MANIFEST} names no thread_id")
    return found


def _traces(refs: list[SourceRef]) -> DayTraces:
    # Any day will do: the sources given are the day's.
    return build_day(locate(refs[0])[0].date(), refs)


def _tables(refs: list[SourceRef]) -> CanonTables:
    if not refs:
        raise BundleError("no session file is in the bundle")
    traces = _traces([replace(ref, home="bundle") for ref in refs])
    made = everything.build(traces.events, traces.spines)
    diff = pl.col("starting_diff_path").str.replace("spine/artifacts/", "artifacts/", literal=True)
    sessions = made.sessions.with_columns(diff)
    return CanonTables(traces.spines, traces.events, sessions, made.turns, made.tool_calls)
