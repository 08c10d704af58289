"""Forgetting: every place that could hold words of a thread loses them, and the thread is not read again.

What is kept: a hash of the thread's id, so that its files, which stay where Codex left them, are passed over. What is not
attempted: exports, and tickets already sent to another system.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from datetime import date

import dagster as dg
import polars as pl
from filelock import FileLock

from codex_loop_assets.resources import reviews
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.judges import model_judge
from codex_loop_assets.resources.vectors import VectorStore

FORGOTTEN = "[forgotten]"


def forgotten_hashes(home: Home) -> frozenset[str]:
    """Hashes of the ids of forgotten threads."""
    try:
        return frozenset((home.root / "forgotten").read_text("utf-8").split())
    except FileNotFoundError:
        return frozenset()


def thread_hash(thread_id: str) -> str:
    """What is remembered of a forgotten thread."""
    return hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()


def threads_before(home: Home, day: date) -> list[str]:
    """Threads of partitions before the day, in order."""
    days = [key for key in home.lake.keys("spines") if key < day.isoformat()]
    return sorted(set(home.lake.read("spines", days)["thread_id"]))


def forget_threads(home: Home, threads: Iterable[str]) -> dict[str, int]:
    """Remove these threads; what was removed, by place. Run again after a kill, it completes the work."""
    threads = set(threads)
    removed: Counter[str] = Counter()
    # First, so that a sensor does not read them again while the rest is being removed.
    _remember(home, threads)
    lake = home.lake
    signals = lake.read("detections").filter(pl.col("thread_id").is_in(threads))
    days = {key for key in lake.keys("spines") if lake.read("spines", key)["thread_id"].is_in(threads).any()}
    clusters = _clusters_of(home, set(signals["signal_id"]), threads)
    removed["vectors"] = VectorStore(home.vectors_path).remove({*signals["signal_id"], *threads})
    removed["states of clusters"] = _blank_clusters(home, signals)
    removed["decisions"] = _blank_decisions(home, _words_of(home, signals))
    removed["review answers"] = reviews.forget(home, threads)
    removed["cached answers"] = sum(_forget_answers(home, thread) for thread in threads)
    removed["tasks and tickets"] = _drop_clusters(home, clusters)
    removed["pages"] = _drop_pages(home, days, threads)
    removed["Dagster runs"] = _drop_runs(days | clusters)
    # The rows go last: they are how an interrupted forget finds what else to remove.
    for thread in sorted(threads):
        removed.update(lake.remove_thread(thread))
    return {place: count for place, count in removed.items() if count}


def _forget_answers(home: Home, thread: str) -> bool:
    """Cached answers of the model, and questions in batches under way. Needs no key: nothing is asked."""
    directory = home.cache / "llm_judge"
    return directory.is_dir() and bool(model_judge(home).forget(thread))


def _remember(home: Home, threads: set[str]) -> None:
    with FileLock(home.root / "locks" / "forgotten.lock"):
        known = forgotten_hashes(home) | {thread_hash(thread) for thread in threads}
        write_text(home.root / "forgotten", "\n".join(sorted(known)) + "\n")


def _clusters_of(home: Home, signal_ids: set[str], threads: set[str]) -> set[str]:
    members = home.lake.read("cluster_members").filter(pl.col("signal_id").is_in(signal_ids))["cluster_id"].drop_nulls()
    distilled = home.lake.read("harbor_datasets").filter(pl.col("thread_id").is_in(threads))["cluster_id"]
    return {*members, *distilled, *(f"adhoc-{signal_id}" for signal_id in signal_ids)}


def _words_of(home: Home, signals: pl.DataFrame) -> set[str]:
    """Texts of these signals as states, proposals and decisions repeat them: descriptions and quotations."""
    words = set(signals["description"])
    for evidence in signals["evidence"]:
        words |= {item["quote"] for item in json.loads(evidence) if item.get("quote")}
    return words


def _blank_clusters(home: Home, signals: pl.DataFrame) -> int:
    """Take the signals out of every state and their words out of descriptions, labels, examples and proposals."""
    lake, ids, words, count = home.lake, set(signals["signal_id"]), _words_of(home, signals), 0
    for day in lake.keys("cluster_members"):
        members = lake.read("cluster_members", day)
        kept = members.filter(~pl.col("signal_id").is_in(ids))
        if kept.height == members.height:
            continue
        count += 1
        touched = members.filter(pl.col("signal_id").is_in(ids))["cluster_id"].drop_nulls()
        lake.write("cluster_members", day, kept)
        lake.write("clusters", day, _blanked_states(lake.read("clusters", day), set(touched), ids, words))
    for day in lake.keys("schema_proposals"):
        frame = lake.read("schema_proposals", day)
        blanked = frame.with_columns(
            pl.col("positives", "hard_negatives").map_elements(lambda text: _without(text, ids), return_dtype=pl.String)
        )
        if not blanked.equals(frame):
            lake.write("schema_proposals", day, blanked)
    return count


def _blanked_states(frame: pl.DataFrame, touched: set[str], ids: set[str], words: set[str]) -> pl.DataFrame:
    rows = frame.to_dicts()
    for row in rows:
        row["exemplar_ids"] = [key for key in row["exemplar_ids"] if key not in ids]
        row["counterexample_ids"] = [key for key in row["counterexample_ids"] if key not in ids]
        if row["description"] in words:
            row["description"] = FORGOTTEN
        if row["cluster_id"] in touched:
            # The name and the terms are made of members' words; the next run names the cluster anew.
            row |= {"label": FORGOTTEN, "terms": []}
    return pl.DataFrame(rows, schema=frame.schema, orient="row")


def _without(examples: str, ids: set[str]) -> str:
    return json.dumps([item for item in json.loads(examples) if item.get("signal_id") not in ids], ensure_ascii=False)


def _blank_decisions(home: Home, words: set[str]) -> int:
    """Examples that a promoted category took from these signals; the decision itself stays."""
    path, count = home.decisions_path, 0
    if not path.is_file():
        return 0
    with FileLock(path.with_name(path.name + ".lock")):
        entries = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        for entry in entries:
            for examples in ("positives", "hard_negatives"):
                given = (entry.get("category") or {}).get(examples) or []
                kept = [text for text in given if text not in words]
                if len(kept) < len(given):
                    entry["category"][examples] = kept
                    count += 1
        if count:
            write_text(path, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))
    return count


def _drop_clusters(home: Home, clusters: set[str]) -> int:
    """Datasets, tickets and their partitions; the next run makes them again from what is left."""
    lake, count = home.lake, 0
    for cluster in clusters:
        for row in lake.read("tickets", cluster).iter_rows(named=True):
            if row["path"]:
                (home.root / row["path"]).unlink(missing_ok=True)
        for folder in set(lake.read("harbor_datasets", cluster)["dataset_dir"].drop_nulls()):
            shutil.rmtree(home.root / folder, ignore_errors=True)
        for row in lake.read("task_validations", cluster)["job_dir"].drop_nulls().unique():
            shutil.rmtree(home.root / row, ignore_errors=True)
        for table in ("harbor_datasets", "task_validations", "tickets"):
            if lake.has(table, cluster):
                shutil.rmtree(lake.path(table, cluster).parent)
                count += 1
    return count


def _drop_pages(home: Home, days: set[str], threads: set[str]) -> int:
    """The pages of those days, any other day's page that names a thread (a cluster shows members of other days), and the
    whole site: its overview pages quote from anywhere."""
    pages = [
        page
        for page in (home.root / "reports").glob("*.html")
        if page.stem in days or any(thread in page.read_text("utf-8") for thread in threads)
    ]
    for page in pages:
        page.unlink()
    site = home.root / "reports" / "site"
    count = len(pages) + (sum(1 for _ in site.rglob("*.html")) if site.is_dir() else 0)
    shutil.rmtree(site, ignore_errors=True)
    return count


def _drop_runs(partitions: set[str]) -> int:
    """Dagster's runs over those days and clusters, with their logs and metadata."""
    if not os.environ.get("DAGSTER_HOME"):
        return 0
    with dg.DagsterInstance.get() as instance:
        doomed = [run for run in instance.get_runs() if run.is_finished and _touches(run.tags, partitions)]
        for run in doomed:
            instance.delete_run(run.run_id)
        return len(doomed)


def _touches(tags: dict[str, str], partitions: set[str]) -> bool:
    first, last = tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end")
    if first and last:
        return any(first <= key <= last for key in partitions)
    return tags.get("dagster/partition") in partitions
