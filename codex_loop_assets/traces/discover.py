"""Finding session sources in the registered homes, and telling on which day a session started.

`discover` lists and stats, and opens nothing; `locate` reads only the head of a source.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from codex_loop_assets.traces.document import document_meta
from codex_loop_assets.traces.document import opening as document_opening
from codex_loop_assets.traces.homes import CodexHome
from codex_loop_assets.traces.names import is_document, names_thread, rollout_thread, stem
from codex_loop_assets.traces.rollout import first_record
from codex_loop_assets.traces.settings import ReadSettings, read_settings
from codex_loop_assets.traces.spine import SEGMENT, segment_number
from codex_loop_assets.traces.timestamps import file_name_time, parse_timestamp, uuid7_time
from codex_loop_assets.traces.values import mapping

SPINE, ROLLOUT = "spine", "rollout"
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_ROLLOUT_NAME = re.compile(
    rf"^rollout-(\d{{4}}-\d{{2}}-\d{{2}}(?:T\d{{2}}-\d{{2}}-\d{{2}})?)-({_UUID})(?:_({_UUID}))?$"
)
_SUFFIXES = (".jsonl.zst", ".jsonl", ".json.zst", ".json")


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: path relative to the home, size in bytes, modification time in ns."""

    path: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class SourceRef:
    """One thread in one kind of record in one home, found by listing. `error` says why it cannot be read at all."""

    thread_id: str
    source: str
    home: str
    root: Path
    path: str
    files: tuple[SourceFile, ...] = ()
    machine: str | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
    fingerprint: str = field(default="", compare=True)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def discover(homes: Iterable[CodexHome]) -> list[SourceRef]:
    """Every session source of the homes, ordered by home, thread and kind. Opens no file."""
    refs = []
    for home in homes:
        root = Path(home.path)
        refs.extend(_spines(home, root, "trace_spine"))
        refs.extend(_rollouts(home, root, ("sessions", "archived_sessions")))
        for bundle in _bundles(root):
            refs.extend(_bundle(home, root, bundle))
    return sorted((_sealed(ref) for ref in refs), key=lambda ref: (ref.home, ref.thread_id, ref.source, ref.path))


def locate(ref: SourceRef, settings: ReadSettings | None = None) -> tuple[datetime, str]:
    """(start of the session in UTC, where that was taken from), reading only the head of the source.

    Never raises: an unreadable source is dated by its name or its files. See `dated` for the second value.
    """
    meta, first = {}, None
    if ref.error is None:
        with suppress(OSError):
            meta, first = _head(ref, settings or read_settings())
    return dated(ref, meta, first)


def opening(ref: SourceRef) -> str | None:
    """See `document.opening`; None for every other source, which is not opened, and for one that cannot be read."""
    if ref.error is not None or not is_document(ref.path):
        return None
    try:
        return document_opening(f"{ref.root}/{ref.files[0].path}")
    except OSError:
        return None


def dated(ref: SourceRef, meta: dict, first_time: object) -> tuple[datetime, str]:
    """The start of a session from its metadata, else its UUIDv7, else its file name, its first record, its files'
    times.

    The second value says which: metadata, uuid, file_name, record or file_time.
    """
    first = parse_timestamp(first_time)
    if meta and (moment := parse_timestamp(meta.get("timestamp")) or first) is not None:
        return moment, "metadata"
    if (moment := uuid7_time(ref.thread_id)) is not None:
        return moment, "uuid"
    if ref.source == ROLLOUT and (moment := file_name_time(stem(ref.path))) is not None:
        return moment, "file_name"
    if first is not None:
        return first, "record"
    oldest = min((file.mtime_ns for file in ref.files), default=0)
    return datetime.fromtimestamp(oldest / 1e9, UTC), "file_time"


def _head(ref: SourceRef, settings: ReadSettings) -> tuple[dict, object]:
    """(the session's metadata or {}, time of the first record). Raises OSError."""
    files = [file for file in ref.files if ref.source == ROLLOUT or SEGMENT.match(file.path.rpartition("/")[2])]
    if not files:
        return {}, None
    path = f"{ref.root}/{files[0].path}"
    if files[0].path.endswith((".json", ".json.zst")):
        return document_meta(path), None
    record = first_record(path, settings)
    if record.get("type") == "session_meta":
        return mapping(record.get("payload")), record.get("timestamp")
    if "type" not in record and "id" in record:
        return record, record.get("timestamp")
    return {}, record.get("timestamp")


def _sealed(ref: SourceRef) -> SourceRef:
    """With its fingerprint: names, sizes and times, but not the folder, so that moving a file changes nothing."""
    digest = hashlib.sha256(repr((ref.source, ref.error)).encode())
    for file in ref.files:
        digest.update(repr((file.path.rpartition("/")[2], file.bytes, file.mtime_ns)).encode("utf-8", "surrogatepass"))
    return replace(ref, fingerprint=digest.hexdigest()[:32])


def _walk(root: Path, folder: str) -> Iterator[SourceFile | tuple[str, OSError]]:
    """Files below a folder; a folder that cannot be listed is given as (path, error)."""
    pending, seen = [folder], set()
    while pending:
        current = pending.pop()
        try:
            place = os.stat(root / current)
            # A folder may be a link to another disk; a link back up must not be followed for ever.
            if (place.st_dev, place.st_ino) in seen:
                continue
            seen.add((place.st_dev, place.st_ino))
            entries = sorted(os.scandir(root / current), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield current, error
            continue
        for entry in entries:
            path = f"{current}/{entry.name}"
            try:
                if entry.is_dir():
                    pending.append(path)
                    continue
                status = entry.stat()
            except OSError as error:
                yield path, error
                continue
            yield SourceFile(path, status.st_size, status.st_mtime_ns)


def _spines(home: CodexHome, root: Path, folder: str) -> Iterator[SourceRef]:
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        yield _unreadable(home, root, SPINE, folder, folder, error)
        return
    for entry in entries:
        if entry.is_dir():
            yield _spine(home, root, f"{folder}/{entry.name}", entry.name)


def _spine(home: CodexHome, root: Path, path: str, thread_id: str) -> SourceRef:
    files, errors = [], []
    for found in _walk(root, path):
        (files if isinstance(found, SourceFile) else errors).append(found)
    if errors:
        return _unreadable(home, root, SPINE, path, thread_id, errors[0][1])
    segments = [file for file in files if segment_number(file.path.rpartition("/")[2]) is not None]
    segments.sort(key=lambda file: segment_number(file.path.rpartition("/")[2]) or 0)
    rest = sorted((file for file in files if file not in segments), key=lambda file: file.path)
    error = None
    if not segments:
        error = (
            f"{path} holds no segment-*.jsonl: not a trace spine, or not yet written; remove it, or wait for Codex to "
            "write to it"
        )
    return SourceRef(thread_id, SPINE, home.name, root, path, (*segments, *rest), home.machine, error=error)


def _unreadable(home: CodexHome, root: Path, source: str, path: str, thread_id: str, error: OSError) -> SourceRef:
    reason = (
        f"{path} cannot be listed ({error.strerror or error}); give the user who runs codex-loop permission to read it"
    )
    try:
        status = os.stat(root / path)
        files = (SourceFile(path, 0, status.st_mtime_ns),)
    except OSError:
        files = ()
    return SourceRef(thread_id, source, home.name, root, path, files, home.machine, error=reason)


def _rollouts(home: CodexHome, root: Path, folders: Iterable[str]) -> Iterator[SourceRef]:
    by_thread: dict[str, list[SourceFile]] = {}
    for folder in folders:
        for found in _walk(root, folder):
            if isinstance(found, SourceFile):
                if _is_rollout(found.path):
                    by_thread.setdefault(rollout_thread(found.path), []).append(found)
            else:
                yield _unreadable(home, root, ROLLOUT, found[0], stem(found[0]), found[1])
    for thread_id, files in by_thread.items():
        for group in _groups(files):
            kept, notes = _without_copies(group)
            yield SourceRef(
                thread_id, ROLLOUT, home.name, root, kept[0].path, tuple(kept), home.machine, notes=tuple(notes)
            )


def _is_rollout(path: str) -> bool:
    if path.endswith((".jsonl", ".jsonl.zst")):
        return True
    return path.endswith((".json", ".json.zst")) and path.rpartition("/")[2].startswith("rollout-")


def _groups(files: list[SourceFile]) -> Iterator[list[SourceFile]]:
    """Files whose names carry no thread id are sources of their own, even if two folders have the same name."""
    if names_thread(files[0].path):
        yield files
    else:
        yield from ([file] for file in files)


def _without_copies(files: list[SourceFile]) -> tuple[list[SourceFile], list[str]]:
    """One file per stem, oldest first: plain before compressed, `sessions` before the archive."""
    best: dict[str, SourceFile] = {}
    notes = []
    for file in sorted(
        files, key=lambda file: (file.path.endswith(".zst"), not file.path.startswith("sessions/"), file.path)
    ):
        if stem(file.path) in best:
            notes.append(f"{file.path}: another copy of {best[stem(file.path)].path}, not read")
        else:
            best[stem(file.path)] = file
    return sorted(best.values(), key=lambda file: stem(file.path)), notes


def _bundles(root: Path) -> Iterator[str]:
    """Exported `rollout_plus_v0` bundles: the home itself, its subdirectories, or those of `bundles/`."""
    if (root / "bundle.json").is_file():
        yield ""
    for folder in ("", "bundles/"):
        try:
            names = sorted(entry.name for entry in os.scandir(root / folder) if entry.is_dir())
        except OSError:
            continue
        yield from (f"{folder}{name}/" for name in names if (root / folder / name / "bundle.json").is_file())


def _bundle(home: CodexHome, root: Path, prefix: str) -> Iterator[SourceRef]:
    """The spine and the rollout of one bundle. The thread id is in the rollout's file name."""
    rollouts = [ref for ref in _rollouts(home, root, (f"{prefix}rollout",))]
    thread_id = rollouts[0].thread_id if rollouts else (prefix.rstrip("/") or root.name).rpartition("/")[2]
    yield from rollouts
    yield _spine(home, root, f"{prefix}spine", thread_id)
