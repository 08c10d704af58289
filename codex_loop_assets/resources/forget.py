"""Forgetting: every place that could hold words of a thread loses them, and the thread is not read again.

What belongs here: the order, and the places that are no table. What does not: what there is to remove (`forget_plan`),
clusters and what is made of them (`forget_clusters`), what is remembered (`forgotten`), how old a thread may get
(`retention`). Not attempted: exports, and tickets already sent to another system.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import psutil
from filelock import FileLock

from codex_loop_assets.loop.report import day_page
from codex_loop_assets.resources import forget_clusters, forget_plan, reviews
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.forget_plan import ForgetPlan
from codex_loop_assets.resources.forgotten import remember
from codex_loop_assets.resources.freshness import inputs
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.instances import open_instance
from codex_loop_assets.resources.judges import model_judge
from codex_loop_assets.resources.report_inputs import report_inputs
from codex_loop_assets.resources.run_retention import remove_run
from codex_loop_assets.resources.vectors import CENTROIDS, VectorStore
from codex_loop_assets.tables import TABLES

# Answers of a model about patterns, tickets and categories are kept by content, which no longer says whose it was.
_ANSWERS_OF_MODELS = ("cluster_labels", "ticket_advice", "category_drafts")


def forget_threads(home: Home, threads: Iterable[str]) -> dict[str, int]:
    """Remove these threads and their sub-agents, and complete what a killed forget left; what was removed, by place. A thread
    that was forgotten before is looked for everywhere again."""
    with FileLock(home.root / "locks" / "forget.lock"):
        plan = forget_plan.begin(home, set(threads))
        # First, so that a sensor does not read them again while the rest is being removed.
        remember(home, plan.threads)
        removed = _remove(home, plan)
        _render_missing_pages(home)
        forget_plan.end(home)
    return {place: count for place, count in removed.items() if count}


def _remove(home: Home, plan: ForgetPlan) -> Counter[str]:
    """Every step of a plan. Each may be cut off anywhere and is done again by the next forget."""
    threads, clusters = set(plan.threads), set(plan.clusters)
    removed: Counter[str] = Counter()
    vectors = VectorStore(home.vectors_path)
    removed["vectors"] = vectors.remove({*plan.signals, *threads})
    vectors.blank(CENTROIDS, clusters)
    removed["decisions"] = _blank_decisions(home, set(plan.words))
    removed["states of clusters"] = forget_clusters.blank(home, set(plan.signals), clusters, set(plan.words))
    removed["review answers"] = reviews.forget(home, threads)
    removed["cached answers"] = sum(_forget_answers(home, thread) for thread in threads) + _drop_answers(home)
    removed["tasks and tickets"] = forget_clusters.drop_made_of(home, clusters, threads)
    removed["pages"] = _drop_pages(home, set(plan.days), {*threads, *clusters})
    # Rates by version and model; made anew with the next summaries.
    home.lake.write("trends", None, TABLES["trends"].empty())
    removed["Dagster runs"] = _drop_runs(home, {*plan.days, *clusters})
    removed.update(home.lake.remove_threads(threads))
    removed["leftovers of killed runs"] = _drop_leftovers(home)
    return removed


def _forget_answers(home: Home, thread: str) -> bool:
    """Cached answers of the judge, and questions in batches under way. Needs no key: nothing is asked."""
    directory = home.cache / "llm_judge"
    return directory.is_dir() and bool(model_judge(home).forget(thread))


def _drop_answers(home: Home) -> int:
    count = 0
    for name in _ANSWERS_OF_MODELS:
        count += sum(1 for _ in (home.cache / name).glob("*.json"))
        shutil.rmtree(home.cache / name, ignore_errors=True)
    return count


def _blank_decisions(home: Home, words: set[str]) -> int:
    """Examples that a promoted category took from these signals; the decision itself stays."""
    path, count = home.decisions_path, 0
    if not path.is_file():
        return 0
    with FileLock(path.with_name(path.name + ".lock")):
        entries = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        for entry in entries:
            category = entry.get("category") or {}
            for field, given in category.items():
                if isinstance(given, list):
                    category[field] = [text for text in given if not forget_clusters.holds(text, words)]
                    count += len(given) - len(category[field])
        if count:
            write_text(path, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))
    return count


def _drop_pages(home: Home, days: set[str], names: set[str]) -> int:
    """The pages of those days, any other day's page that names a thread or one of its clusters, and the whole site: its
    overview pages quote from anywhere."""
    pages = [
        page
        for page in (home.root / "reports").glob("*.html")
        if page.stem in days or any(name in page.read_text("utf-8") for name in names)
    ]
    for page in pages:
        page.unlink()
    site = home.root / "reports" / "site"
    count = len(pages) + (sum(1 for _ in site.rglob("*.html")) if site.is_dir() else 0)
    shutil.rmtree(site, ignore_errors=True)
    return count


def _render_missing_pages(home: Home) -> None:
    """The days' pages again, from what is left."""
    reports = home.lake.read("daily_report")
    missing = [row["dt"].isoformat() for row in reports.to_dicts() if not (home.root / row["path"]).is_file()]
    made_from = {day: inputs(home.lake, "daily_report", day) for day in missing}
    given = report_inputs(home, missing) if missing else None
    for day in missing:
        html, row = day_page(given, date.fromisoformat(day))
        # The page last: a page that is missing is what a run after a kill looks for.
        home.lake.write("daily_report", day, TABLES["daily_report"].frame([row]), made_from[day])
        write_text(home.root / row["path"], html)


def _drop_runs(home: Home, partitions: set[str]) -> int:
    """Dagster's runs over those days and clusters with their logs, and failed runs: an error may quote what it failed on."""
    if not os.environ.get("DAGSTER_HOME"):
        return 0
    with open_instance() as instance:
        doomed = [
            run
            for run in instance.get_runs()
            if run.is_finished and (not run.is_success or _touches(run.tags, partitions))
        ]
        for run in doomed:
            remove_run(home, instance, run.run_id)
    for database in (home.dagster_home / "history").rglob("*.db"):
        _rewrite(database)
    return len(doomed)


def _rewrite(database: Path) -> None:
    """Write a database anew: a deleted row's bytes stay in its free pages. One that a daemon holds is left to SQLite."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(database, timeout=5)) as connection,
    ):
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _touches(tags: dict[str, str], partitions: set[str]) -> bool:
    first, last = tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end")
    if first and last:
        return any(first <= key <= last for key in partitions)
    return tags.get("dagster/partition") in partitions


def _drop_leftovers(home: Home) -> int:
    """Half-written files of processes that are gone."""
    count = 0
    for path in [*home.root.rglob(".*.tmp"), *home.root.rglob("*.part")]:
        process = path.name.split(".")[-2]
        if path.is_file() and not (process.isdigit() and psutil.pid_exists(int(process))):
            path.unlink(missing_ok=True)
            count += 1
    return count
