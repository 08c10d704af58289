"""Proofs of tasks: those that runs on this machine gave, and those made elsewhere and taken in.

A proof is the rows of `task_validations` of one task at one digest. It holds wherever the same task is distilled, also for another
cluster (`core_digest`); a machine without an engine can take one in.
"""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from codex_loop_assets.distill.reviewed import CHECK, counted
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.tables import TASK_VALIDATIONS


def taken_in(home: Home) -> pl.DataFrame:
    """Rows of `task_validations` that were taken in from files."""
    frames = [read(path) for path in sorted(_folder(home).glob("*.ndjson"))]
    return pl.concat([TASK_VALIDATIONS.empty(), *frames]).filter(pl.col("check") != CHECK)


def earlier(home: Home, cluster_id: str) -> pl.DataFrame:
    """What may be known of a cluster's tasks before anything is run: its own rows, those of clusters that held the same candidates,
    and those taken in. Each (candidate, digest) is told by one source."""
    own = home.lake.read("task_validations").sort(pl.col("cluster_id") != cluster_id, maintain_order=True)
    settled = own.filter((pl.col("check") == "verdict") & (pl.col("status") != "unvalidated"))
    other = taken_in(home).join(settled, on=["candidate_id", "digest"], how="anti")
    told = own.join(other, on=["candidate_id", "digest"], how="anti")
    return pl.concat([told, other]).with_columns(cluster_id=pl.lit(cluster_id))


def known(home: Home) -> pl.DataFrame:
    """Rows of `task_validations`, of this home and taken in."""
    return pl.concat([home.lake.read("task_validations"), taken_in(home)])


def proven(home: Home) -> pl.DataFrame:
    """Verdicts of the tasks that may be measured (`distill.reviewed.counted`), of this home and taken in: cluster_id,
    candidate_id, digest and the rest of the table's columns. What a person accepted elsewhere counts where they are."""
    return counted(known(home))


def take_in(home: Home, path: Path) -> int:
    """Keep a file of proofs in the home; how many tasks it proves. Raises ValueError for a file that holds no such rows."""
    rows = read(path)
    save(rows, _folder(home) / f"{path.stem}.ndjson")
    return rows.filter((pl.col("check") == "verdict") & (pl.col("status") == "validated")).height


def read(path: Path) -> pl.DataFrame:
    """The proofs of a file. Raises ValueError for one that holds none."""
    try:
        data = path.read_bytes()
        rows = pl.read_ndjson(io.BytesIO(data), schema=TASK_VALIDATIONS.empty().schema) if data.strip() else None
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} holds no proofs: {error}") from error
    if rows is None or rows["candidate_id"].null_count():
        raise ValueError(f"{path} holds no proofs; write them with: codex-loop validate --save-proofs FILE")
    return TASK_VALIDATIONS.conform(rows)


def save(rows: pl.DataFrame, path: Path) -> None:
    """Write rows of `task_validations` as a file of proofs, one row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rows.sort("candidate_id", "check", "attempt").write_ndjson(), "utf-8")


def forget(home: Home, candidates: set[str]) -> None:
    """Leave these candidates out of what was taken in."""
    for path in _folder(home).glob("*.ndjson"):
        rows = read(path)
        kept = rows.filter(~pl.col("candidate_id").is_in(candidates))
        if kept.height < rows.height:
            save(kept, path)


def _folder(home: Home) -> Path:
    return home.root / "harbor" / "proofs"
