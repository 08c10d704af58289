"""Baselines: the trials of one job as one file, so that another home (a CI machine) can compare with them.

A baseline holds what a comparison reads and no trace text: results without configuration and tracebacks, digests, and what the
rules found in each session as counts. Taking one in makes a job folder of it, for trials are read from there and nowhere else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from codex_loop_assets.measure.eval_runs import TrialRecord
from codex_loop_assets.resources import jobs
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.redaction import redact

VERSION = 1
_KEPT = (
    "id", "trial_name", "task_name", "started_at", "finished_at", "agent_info", "verifier_result",
)  # fmt: skip
_AGENT = ("n_input_tokens", "n_cache_tokens", "n_output_tokens", "cost_usd")


def save(home: Home, cluster_id: str, job_name: str, path: Path) -> int:
    """Write the trials of a job to a file; how many there are."""
    records, _ = jobs.trials(home, cluster_id)
    mine = [record for record in records if Path(record.job_dir).name == job_name]
    runs = home.lake.read("eval_runs", cluster_id)
    counts = _counts(home, cluster_id)
    ids = dict(runs.filter(pl.col("job_dir").str.ends_with(f"/{job_name}")).select("trial", "eval_id").iter_rows())
    arms = runs.filter(pl.col("trial").is_in(list(ids)))["arm"].unique().to_list()
    content = {
        "version": VERSION,
        "cluster_id": cluster_id,
        "job": job_name,
        "arm": arms[0] if arms else job_name,
        "trials": [_trial(record, counts.get(ids.get(record.result["trial_name"], ""), {})) for record in mine],
    }
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return len(mine)


def take_in(home: Home, cluster_id: str, path: Path) -> str:
    """Make a baseline's trials a job of the home and its arm the one that others are compared with; the arm's name.

    Raises ValueError for a file that is no baseline and for one whose job is here with other trials.
    """
    try:
        saved = json.loads(path.read_text("utf-8"))
        job, arm, trials = str(saved["job"]), str(saved["arm"]), saved["trials"]
        if saved["version"] != VERSION or not trials or Path(job).name != job:
            raise ValueError(f"version {saved['version']}, {len(trials)} trials")
        names = [jobs.plain_name(trial["result"]["trial_name"]) for trial in trials]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no baseline ({error}); write one with: codex-loop measure --save-baseline FILE"
        ) from error
    folder = jobs.jobs_folder(home, cluster_id) / job
    for name, trial in zip(names, trials, strict=True):
        _place(folder / name, trial)
    jobs.label_job(home, cluster_id, job, arm)
    jobs.set_baseline(home, cluster_id, arm)
    return arm


def _place(folder: Path, trial: dict[str, Any]) -> None:
    known = folder / "result.json"
    if known.is_file():
        if json.loads(known.read_text("utf-8")).get("id") != trial["result"].get("id"):
            raise ValueError(f"another job named {folder.parent.name}, with other trials, is in this home")
        return
    write_text(folder / "lock.json", json.dumps({"task": {"digest": trial["task_digest"]}}))
    write_text(folder / "verifier" / "parts.json", json.dumps({"end_state": trial["end_state"]}))
    write_text(folder / jobs.COUNTS, json.dumps(trial["signals"]))
    # Last, for a trial is one by its result.
    write_text(known, json.dumps(trial["result"], sort_keys=True))


def _trial(record: TrialRecord, signals: dict[str, Any]) -> dict[str, Any]:
    result = record.result
    error = result.get("exception_info") or None
    kept = {key: result.get(key) for key in _KEPT}
    kept["agent_result"] = {key: (result.get("agent_result") or {}).get(key) for key in _AGENT}
    kept["exception_info"] = error and {
        "exception_type": error["exception_type"],
        "exception_message": redact(str(error.get("exception_message", ""))[:300], result["trial_name"]),
    }
    digest = ((record.lock or {}).get("task") or {}).get("digest")
    return {"result": kept, "task_digest": digest, "end_state": record.end_state, "signals": signals}


def _counts(home: Home, cluster_id: str) -> dict[str, dict[str, Any]]:
    """eval_id -> category -> count, of the trials whose session could show it."""
    found: dict[str, dict[str, Any]] = {}
    rows = home.lake.read("trial_signals", cluster_id).filter(pl.col("observable"))
    for eval_id, category, count in rows.select("eval_id", "category", "count").iter_rows():
        found.setdefault(eval_id, {})[category] = count
    return found
