"""What holds for every asset, in one place: partitioning, backfill policy, groups, column schemas, how a partition is
written and described.

Assets return nothing. A returned value would go to an IO manager, which refuses a run over a range of partitions, and a
day's tables are read by range, by DuckDB and by LanceDB anyway; the lake is the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from codex_loop_assets.partitions import clusters, days
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.tables import TABLES, Table

OWNERS = ["team:agent-platform"]

# One run for a whole range: a backfill of 21 days starts one process, and each day is still written by itself.
DAILY: dict[str, Any] = {"partitions_def": days, "backfill_policy": dg.BackfillPolicy.single_run()}
PER_CLUSTER: dict[str, Any] = {"partitions_def": clusters, "backfill_policy": dg.BackfillPolicy.single_run()}

DAY_BEFORE = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True)


def table_spec(name: str, group: str, deps: list[Any], **more: Any) -> dg.AssetSpec:
    """The AssetSpec of a table: its description and column schema come from `tables.py`."""
    table = TABLES[name]
    return dg.AssetSpec(
        name,
        deps=deps,
        group_name=group,
        owners=OWNERS,
        kinds=more.pop("kinds", {"parquet", "polars"}),
        description=more.pop("description", table.doc),
        metadata={"dagster/column_schema": column_schema(table), "dagster/table_name": name},
        **more,
    )


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns as the Dagster UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                str(column.dtype),
                column.doc,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == (column.name,)),
            )
            for column in table.columns
        ]
    )


def store(
    context: dg.AssetExecutionContext,
    home: Home,
    table: str,
    key: str | None,
    frame: pl.DataFrame,
    inputs: Mapping[str, str | None] | None = None,
    **metadata: Any,
) -> None:
    """Write one partition to the lake and describe it in the run: rows, file digest, and what the caller adds."""
    digest = home.lake.write(table, key, frame, inputs)
    describe(context, table, key, {"sha256": digest[:16], "rows": frame.height, **metadata})


def table_of(frame: pl.DataFrame, limit: int = 50) -> dg.TableMetadataValue | None:
    """The first rows of a small frame as a table in the UI; None for an empty one.

    Names, ids and numbers only: words of a session do not belong into metadata, where forgetting cannot reach them.
    """
    rows = frame.head(limit).to_dicts()
    records = [
        dg.TableRecord(
            {name: value if isinstance(value, (int, float)) else str(value or "") for name, value in row.items()}
        )
        for row in rows
    ]
    return dg.MetadataValue.table(records) if records else None


def describe(context: dg.AssetExecutionContext, asset: str, key: str | None, metadata: Mapping[str, Any]) -> None:
    """Attach metadata to one partition of an asset; in a run over a range each partition gets its own."""
    rows = "dagster/partition_row_count" if key else "dagster/row_count"
    values = {rows if name == "rows" else name: value for name, value in metadata.items() if value is not None}
    context.add_asset_metadata(values, asset_key=asset, **({"partition_key": key} if key else {}))
