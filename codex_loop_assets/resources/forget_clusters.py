"""Forgetting in what is made of many sessions: cluster states, names, proposals, tasks, trials, tickets.

A name, a term or a definition is made of several members' words, so that nobody can say whose they are: whatever a
forgotten member touched loses them, and the next run makes them again from what is left.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

from codex_loop_assets.loop import append_log
from codex_loop_assets.resources import proofs
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.jobs import gathered_folder, jobs_folder

FORGOTTEN = "[forgotten]"
_TELLING = 12
_MADE_OF = ("harbor_datasets", "task_validations", "tickets")


def touched(home: Home, signals: pl.DataFrame, threads: set[str]) -> set[str]:
    """Clusters that ever held one of these signals or gave a task from one of these threads."""
    ids = set(signals["signal_id"])
    members = home.lake.read("cluster_members").filter(pl.col("signal_id").is_in(ids))["cluster_id"].drop_nulls()
    distilled = home.lake.read("harbor_datasets").filter(pl.col("thread_id").is_in(threads))["cluster_id"]
    return {*members, *distilled, *(f"adhoc-{signal_id}" for signal_id in ids)}


def words_of(home: Home, signals: pl.DataFrame) -> set[str]:
    """Texts of these signals as states, proposals and decisions repeat them: descriptions, quotations, examples."""
    words, ids = set(signals["description"]), set(signals["signal_id"])
    for evidence in signals["evidence"]:
        words |= {item["quote"] for item in json.loads(evidence) if item.get("quote")}
    for examples in home.lake.read("schema_proposals").select("positives", "hard_negatives").iter_rows():
        words |= {item["text"] for text in examples for item in json.loads(text) if item.get("signal_id") in ids}
    return {text for text in words if text}


def holds(text: Any, words: Collection[str]) -> bool:
    """Whether a text is one of the words, or repeats one that is long enough not to be found by chance."""
    return isinstance(text, str) and (text in words or any(len(word) >= _TELLING and word in text for word in words))


def blank(home: Home, ids: set[str], clusters: set[str], words: set[str]) -> int:
    """Take the signals of these ids out of every state and their words out of names, descriptions, examples and proposals; the number of
    states changed."""
    lake, count = home.lake, 0
    for day in lake.keys("cluster_members"):
        members = lake.read("cluster_members", day)
        kept = members.filter(~pl.col("signal_id").is_in(ids))
        states = lake.read("clusters", day)
        blanked = _states(states, clusters, ids, words)
        if not blanked.equals(states):
            lake.write("clusters", day, blanked)
        if kept.height < members.height:
            lake.write("cluster_members", day, kept)
            count += 1
    for day in lake.keys("schema_proposals"):
        frame = lake.read("schema_proposals", day)
        left = _proposals(frame, clusters, ids, words)
        if not left.equals(frame):
            lake.write("schema_proposals", day, left)
    registry = lake.read("cluster_registry")
    named = pl.when(pl.col("cluster_id").is_in(clusters)).then(pl.lit(FORGOTTEN)).otherwise("label").alias("label")
    if not registry.with_columns(named).equals(registry):
        lake.write("cluster_registry", None, registry.with_columns(named))
    _blank_ticket_log(home, clusters)
    return count


def _states(frame: pl.DataFrame, clusters: set[str], ids: set[str], words: set[str]) -> pl.DataFrame:
    rows = frame.to_dicts()
    for row in rows:
        row["exemplar_ids"] = [key for key in row["exemplar_ids"] if key not in ids]
        row["counterexample_ids"] = [key for key in row["counterexample_ids"] if key not in ids]
        if row["description"] in words:
            row["description"] = FORGOTTEN
        if row["cluster_id"] in clusters:
            row |= {"label": FORGOTTEN, "terms": [], "facets": "[]"}
    return pl.DataFrame(rows, schema=frame.schema, orient="row")


def _proposals(frame: pl.DataFrame, clusters: set[str], ids: set[str], words: set[str]) -> pl.DataFrame:
    """Open proposals of these clusters go and are drafted again. What people decided about stays without its examples and
    without the criteria that quote them."""
    rows = []
    for row in frame.to_dicts():
        if row["cluster_id"] in clusters and row["status"] == "open":
            continue
        for examples in ("positives", "hard_negatives"):
            items = [item for item in json.loads(row[examples]) if item.get("signal_id") not in ids]
            row[examples] = json.dumps(items, ensure_ascii=False)
        for criteria in ("inclusion_criteria", "exclusion_criteria", "confidence_reasons"):
            row[criteria] = [text for text in row[criteria] if not holds(text, words)]
        rows.append(row)
    return pl.DataFrame(rows, schema=frame.schema, orient="row")


def _blank_ticket_log(home: Home, clusters: set[str]) -> None:
    """Titles and causes in the history of these clusters' tickets: both are words of members."""
    path = home.root / "tickets" / "log.jsonl"
    if not path.is_file():
        return
    with home.lake.locked("ticket_log"), FileLock(path.with_suffix(".lock")):
        lines = append_log.read(path)
        tickets = {line["ticket_id"] for line in lines if line.get("data", {}).get("cluster_id") in clusters}
        said = {
            line["data"][field] for line in lines for field in ("title", "cause")
            if line["ticket_id"] in tickets and isinstance(line.get("data", {}).get(field), str) and line["data"][field]
        }  # fmt: skip
        blanked = [_without(line, said) if line["ticket_id"] in tickets else line for line in lines]
        if blanked != lines:
            write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in blanked))


def _without(value: Any, said: set[str]) -> Any:
    """The value with every text of `said` in it blanked."""
    if isinstance(value, str):
        for text in sorted(said, key=len, reverse=True):
            value = value.replace(text, FORGOTTEN)
        return value
    if isinstance(value, list):
        return [_without(item, said) for item in value]
    return {key: _without(item, said) for key, item in value.items()} if isinstance(value, dict) else value


def drop_made_of(home: Home, clusters: set[str], threads: set[str]) -> int:
    """Datasets, proofs, trials and tickets of these clusters, and tickets of others that name a thread. The next run makes
    datasets and tickets again from what is left; trials of a forgotten task are gone for good."""
    lake = home.lake
    quoting = {
        row["cluster_id"]
        for row in lake.read("tickets").drop_nulls("path").to_dicts()
        if (path := home.root / row["path"]).is_file()
        and any(name in path.read_text("utf-8") for name in (*threads, *clusters))
    }
    shutil.rmtree(gathered_folder(home), ignore_errors=True)  # Copies of tasks that a measurement cut off has left.
    return sum(_drop_cluster(home, cluster, threads) for cluster in {*clusters, *quoting})


def _drop_cluster(home: Home, cluster: str, threads: set[str]) -> int:
    lake = home.lake
    datasets = lake.read("harbor_datasets", cluster)
    gone = datasets.filter(pl.col("thread_id").is_in(threads))
    _drop_trials(home, cluster, set(gone["task_name"].drop_nulls()))
    proofs.forget(home, set(gone["candidate_id"]))
    for path in lake.read("tickets", cluster)["path"].drop_nulls():
        (home.root / path).unlink(missing_ok=True)
    folders = {*datasets["dataset_dir"].drop_nulls(), *lake.read("task_validations", cluster)["job_dir"].drop_nulls()}
    for folder in folders:
        shutil.rmtree(home.root / folder, ignore_errors=True)
    written = [table for table in _MADE_OF if lake.has(table, cluster)]
    for table in written:
        shutil.rmtree(lake.path(table, cluster).parent)
    return len(written)


def _drop_trials(home: Home, cluster: str, tasks: set[str]) -> None:
    """Trials of these tasks, with the instruction and the session that each of them holds, and their rows."""
    for result in jobs_folder(home, cluster).glob("*/*/result.json"):
        if _task_of(result) in tasks:
            shutil.rmtree(result.parent)
    runs = home.lake.read("eval_runs", cluster)
    kept = runs.filter(~pl.col("task").is_in(tasks))
    if kept.height < runs.height:
        found = home.lake.read("trial_signals", cluster)
        home.lake.write("trial_signals", cluster, found.filter(pl.col("eval_id").is_in(kept["eval_id"].to_list())))
        home.lake.write("eval_runs", cluster, kept)


def _task_of(result: Path) -> str | None:
    try:
        return json.loads(result.read_text("utf-8")).get("task_name")
    except ValueError:
        return None
