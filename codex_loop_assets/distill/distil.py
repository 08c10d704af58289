"""The entry: one cluster's signals in, its dataset folder and the rows of `harbor_datasets` out.

Every member signal ends in exactly one row: within a segment's row, with how far it came and why it went no further,
or in a row of its own.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from codex_loop_assets.distill import repository
from codex_loop_assets.distill.build import Built
from codex_loop_assets.distill.candidate import NotDistillable, candidate_id
from codex_loop_assets.distill.dataset import replace_dataset
from codex_loop_assets.distill.digest import core_digest
from codex_loop_assets.distill.environment import UnsafeName
from codex_loop_assets.distill.model import Model
from codex_loop_assets.distill.produce import Surroundings, produce
from codex_loop_assets.distill.replay import ReplayError
from codex_loop_assets.distill.reviewed import without_rejected
from codex_loop_assets.distill.segment import Segment, segments
from codex_loop_assets.distill.start import NoStart, Redact
from codex_loop_assets.distill.task import slug
from codex_loop_assets.distill.threads import Threads
from codex_loop_assets.distill.tree import UnsafePath
from codex_loop_assets.settings import section
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.tables import HARBOR_DATASETS

log = logging.getLogger(__name__)

_SEGMENT_COLUMNS = (
    "cluster_id",
    "candidate_id",
    "signal_ids",
    "thread_id",
    "run",
    "seq_start",
    "seq_end",
    "set_kind",
)


def distil_cluster(
    cluster_id: str,
    members: pl.DataFrame,
    canon: CanonTables,
    repositories: Mapping[str, Path],
    home: Path,
    settings: Mapping[str, Any] | None,
    now: datetime,
    *,
    redact: Redact | None = None,
    codex_homes: Mapping[str, Path] | None = None,
    signals: pl.DataFrame | None = None,
    set_kind: str = "target",
    model: Model | None = None,
    rejected: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Rows of `harbor_datasets` for a cluster; its tasks are written to `<home>/harbor/datasets/<cluster>/`.

    members: rows of `signals`, those of the cluster. canon: the tables of (at least) the members' threads.
    repositories: local clones or bundle files by origin URL, working directory or short name. signals: all known
    signals of those threads (default: the members). codex_homes: registered homes by name, where starting diffs are
    read. now: sessions that started later are as if they were not there. model: asked for instructions and checks; None
    without a key. rejected: candidates that a person rejected, and why. A second run on the same input writes nothing new.
    """
    if redact is None:
        from codex_loop_assets.signals.redaction import redact
    settings = settings or section("distill")
    threads = Threads(canon, members if signals is None else signals, now)
    found = segments(members, canon.turns, threads.known_signals, settings["segments"])
    rows = _unplaced(cluster_id, members, found, set_kind)
    built: list[Built] = []
    limit = settings["segments"]["maximum_per_cluster"]
    with repository.scratch_store() as store:
        around = Surroundings(threads, repositories, codex_homes or {}, home, redact, settings, store, model)
        for index, segment in enumerate(sorted(found, key=_telling)):
            row, task = _segment_row(cluster_id, segment, around, set_kind, skip=index >= limit)
            rows.append(row)
            built += [task] if task else []
    rows, built = _without_repetition(rows, built)
    rejected = rejected or {}
    built = [item for item in built if item.candidate.candidate_id not in rejected]
    folder = home / "harbor" / "datasets" / _folder(cluster_id)
    description = f"Tasks distilled from {members.height} signals of cluster {cluster_id}"
    name = f"{settings['organisation']}/{slug(cluster_id, 60)}"
    digests = replace_dataset(
        folder, name, description, [item.task for item in built], [_evidence(item) for item in built]
    )
    relative = folder.relative_to(home).as_posix()
    for row in rows:
        if row["stage"] == "built":
            directory = row.pop("directory")
            if row["candidate_id"] not in rejected:
                row |= {"task_dir": f"{relative}/{directory}", "dataset_dir": relative, "digest": digests[directory]}
                row["core_digest"] = core_digest(folder / directory)
    return without_rejected(HARBOR_DATASETS.frame(rows), rejected)


def _without_repetition(rows: list[dict[str, Any]], built: list[Built]) -> tuple[list[dict[str, Any]], list[Built]]:
    """Each task once: the same start, change and check in two sessions prove one thing. Tasks in order of directory."""
    first: dict[str, Built] = {}
    same: dict[str, str] = {}
    for item in built:
        kept = first.setdefault(item.substance, item)
        if kept is not item:
            same[item.candidate.candidate_id] = kept.task.name
    told = [_repetition(row, same[row["candidate_id"]]) if row["candidate_id"] in same else row for row in rows]
    return told, sorted(first.values(), key=lambda item: item.task.directory)


def _repetition(row: dict[str, Any], task_name: str) -> dict[str, Any]:
    """The row of a candidate whose task is there already: nothing of a task, and which one it repeats."""
    of_the_segment = {key: row[key] for key in _SEGMENT_COLUMNS}
    return of_the_segment | {"stage": "candidate", "reason": f"the same work as {task_name}"}


def _telling(segment: Segment) -> tuple:
    """Order in which a cluster's segments are distilled: most and clearest signals first."""
    return (
        -max(signal["severity"] for signal in segment.signals),
        -len(segment.signals),
        segment.thread_id,
        segment.start,
    )


def _folder(cluster_id: str) -> str:
    plain = slug(cluster_id, 60)
    return (
        plain
        if plain == cluster_id.replace("_", "-")
        else f"{plain}-{hashlib.sha256(cluster_id.encode()).hexdigest()[:8]}"
    )


def _unplaced(cluster_id: str, members: pl.DataFrame, found: list[Segment], set_kind: str) -> list[dict[str, Any]]:
    placed = {signal["signal_id"] for segment in found for signal in segment.signals}
    return [
        {
            "cluster_id": cluster_id,
            "candidate_id": f"none_{signal['signal_id']}",
            "signal_ids": [signal["signal_id"]],
            "thread_id": signal["thread_id"],
            "run": signal["run"],
            "seq_start": signal["seq_start"],
            "seq_end": signal["seq_end"],
            "stage": "signal",
            "reason": "no turn of the thread holds it",
            "set_kind": set_kind,
        }
        for signal in members.iter_rows(named=True)
        if signal["signal_id"] not in placed
    ]


def _segment_row(
    cluster_id: str, segment: Segment, around: Surroundings, set_kind: str, skip: bool
) -> tuple[dict[str, Any], Built | None]:
    row = {
        "cluster_id": cluster_id,
        "candidate_id": candidate_id(segment, None),
        "signal_ids": [signal["signal_id"] for signal in segment.signals],
        "thread_id": segment.thread_id,
        "run": segment.run,
        "seq_start": segment.turns[0]["seq_start"],
        "seq_end": segment.turns[-1]["seq_end"],
        "set_kind": set_kind,
    }
    if skip:
        return row | {"stage": "segment", "reason": "the cluster has more segments than are distilled"}, None
    try:
        built = produce(cluster_id, segment, around, set_kind)
    except NotDistillable as error:
        return row | {"stage": error.stage, "reason": str(error)}, None
    except (NoStart, repository.RepositoryError, ReplayError, UnsafePath) as error:
        return row | {"stage": "segment", "reason": _one_line(str(error), around.redact, segment)}, None
    except UnsafeName as error:
        return row | {"stage": "candidate", "reason": _one_line(str(error), around.redact, segment)}, None
    except Exception as error:
        # One odd session must not cost the cluster its tasks; the row says what happened, the log where.
        log.exception("distilling %s failed", row["candidate_id"])
        return row | {"stage": "segment", "reason": f"distilling failed: {type(error).__name__}"}, None
    return row | _built_columns(built), built


def _built_columns(built: Built) -> dict[str, Any]:
    metadata = built.metadata
    return {
        "candidate_id": built.candidate.candidate_id,
        "stage": "built",
        "reason": built.candidate.note,
        "task_name": built.task.name,
        "directory": built.task.directory,
        "environment_kind": built.environment.kind,
        "verifier_kind": metadata["verifier_kind"],
        "check_kind": metadata["check_kind"],
        "solution_from": metadata["solution_from"],
        "repository": metadata["source_repository"],
        "language": built.environment.language,
        "instruction": built.task.files["instruction.md"].decode("utf-8"),
        "verifier_command": metadata["verifier_command"],
    }


def _evidence(built: Built) -> dict[str, Any]:
    segment = built.candidate.segment
    return {
        "task": built.task.name,
        "metadata": dict(built.metadata),
        "signals": [
            {
                key: signal[key]
                for key in (
                    "signal_id",
                    "category",
                    "type",
                    "run",
                    "turn_id",
                    "call_id",
                    "seq_start",
                    "seq_end",
                    "description",
                )
            }
            for signal in segment.signals
        ],
    }


def _one_line(text: str, redact: Redact, segment: Segment) -> str:
    return " ".join(redact(text, segment.thread_id).split())[:300]
