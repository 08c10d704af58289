"""Reading one source (a spine directory, or a thread's rollout files) whole: its events and what became of its lines.

Belongs here: which reader, in what order, and when a source is quarantined. What a day holds is decided in `day`.
"""

from __future__ import annotations

from dataclasses import dataclass

from codex_loop_assets.traces.batches import EventBatches
from codex_loop_assets.traces.decode import NotARecord
from codex_loop_assets.traces.discover import SPINE, SourceRef
from codex_loop_assets.traces.document import read_document
from codex_loop_assets.traces.lines import DamagedFile, open_stream
from codex_loop_assets.traces.names import is_document
from codex_loop_assets.traces.rollout import RolloutReader
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.spine import SCHEMA_VERSION, SpineReader, segment_number
from codex_loop_assets.traces.tally import Tally


@dataclass
class Reading:
    """A source that has been read: its events are in the batches under `origin`. With a `quarantine` reason they do not
    count, and every line is skipped. `states`: of a single document, see `document.states`."""

    ref: SourceRef
    origin: int
    thread_id: str
    tally: Tally
    era: str | None
    meta: dict
    first_time: str | None = None
    quarantine: str | None = None
    states: tuple[bytes, ...] = ()


def read_source(ref: SourceRef, origin: int, batches: EventBatches, settings: ReadSettings) -> Reading:
    """Read a source into the batches. Never raises: what cannot be read is quarantined with what, where and what to
    do."""
    if ref.error is not None:
        return _quarantined(ref, origin, Tally(), ref.error)
    if ref.source == SPINE:
        reading = _read_spine(ref, SpineReader(settings, batches, origin, ref.thread_id))
    else:
        reading = _read_rollout(ref, RolloutReader(settings, batches, origin))
    reading.tally.notes.extend(ref.notes)
    return reading


def _read_spine(ref: SourceRef, reader: SpineReader) -> Reading:
    segments = [file for file in ref.files if segment_number(file.path.rpartition("/")[2]) is not None]
    for file in segments:
        try:
            reader.read(f"{ref.root}/{file.path}", file.path)
        except OSError as error:
            return _quarantined(ref, reader.origin, reader.tally, _cannot_read(file.path, error))
    reader.finish()
    if segments and reader.tally.read and reader.unclosed not in (None, segments[-1].path):
        reader.tally.notes.append(f"{reader.unclosed}: not closed cleanly (no meta.json)")
    if reader.wrong_versions and not reader.tally.read:
        reason = (
            f"{ref.path}: schema_version is not {SCHEMA_VERSION}; upgrade codex-loop, or export the session with a "
            "matching Codex"
        )
        return _quarantined(ref, reader.origin, reader.tally, reason)
    if reader.meta is None and not reader.configured:
        return _quarantined(ref, reader.origin, reader.tally, _no_meta(ref.path, "trace spine"))
    if reader.meta is None:
        reader.tally.notes.append(
            "no session_meta: the thread is older than its spine; working directory and model are session_configured's"
        )
    return Reading(ref, reader.origin, ref.thread_id, reader.tally, "spine_v1", reader.meta or {}, reader.first_time)


def _read_rollout(ref: SourceRef, reader: RolloutReader) -> Reading:
    states: tuple[bytes, ...] = ()
    for run, file in enumerate(ref.files):
        try:
            if is_document(file.path):
                states = _read_document(reader, run, f"{ref.root}/{file.path}", file.path)
            else:
                reader.read(run, f"{ref.root}/{file.path}", file.path)
        except NotARecord:
            return _quarantined(
                ref,
                reader.origin,
                reader.tally,
                f"{file.path}: no complete JSON document; it is read again when it changes",
            )
        except OSError as error:
            return _quarantined(ref, reader.origin, reader.tally, _cannot_read(file.path, error))
    if reader.meta is None:
        return _quarantined(ref, reader.origin, reader.tally, _no_meta(ref.path, "Codex rollout"))
    own = reader.meta.get("id")
    thread_id = own if type(own) is str and own else ref.thread_id
    return Reading(
        ref, reader.origin, thread_id, reader.tally, reader.era, reader.meta, reader.first_time, states=states
    )


def _read_document(reader: RolloutReader, run: int, path: str, name: str) -> tuple[bytes, ...]:
    lines = _physical_lines(path)
    try:
        states = read_document(reader, run, path, name)
    except NotARecord:
        reader.tally.torn += lines
        raise
    reader.tally.read += lines
    return states


def _physical_lines(path: str) -> int:
    with open_stream(path) as stream:
        return sum(1 for _ in stream)


def _cannot_read(path: str, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"{path} cannot be read (permission denied); give the user who runs codex-loop permission to read it"
    if isinstance(error, FileNotFoundError):
        return f"{path} vanished while it was read; the next run finds out where it went"
    if isinstance(error, DamagedFile):
        return f"{path} is damaged: {error}"
    return f"{path} cannot be read ({error.strerror or error}); check the file system and run again"


def _no_meta(path: str, what: str) -> str:
    return (
        f"{path}: no session_meta record, so it is no complete {what}; if Codex is still writing it, it is read again "
        "when it grows; else move it away or restore its first lines"
    )


def _quarantined(ref: SourceRef, origin: int, tally: Tally, reason: str) -> Reading:
    """Every line that was counted stays counted: what had been read is skipped after all."""
    if tally.read:
        tally.skipped["quarantined"] += tally.read
        tally.read = 0
    return Reading(ref, origin, ref.thread_id, tally, None, {}, quarantine=reason)
