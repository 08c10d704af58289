"""Text fields of the `detail` column, several at once: one decoding takes a tenth of the time of a path for each field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl


def text_fields(details: pl.Series, paths: Mapping[str, str]) -> pl.DataFrame:
    """A column for each name of `paths`, which are `field` or `object.field`; null where a detail lacks it."""
    try:
        told = details.str.json_decode(_shape(paths.values())).to_frame("told")
    except pl.exceptions.ComputeError:
        # A value that is no text refuses the whole column.
        column = pl.col(details.name)
        found = (column.str.json_path_match(f"$.{path}").alias(name) for name, path in paths.items())
        return details.to_frame().select(found)
    return told.select(_at(path).alias(name) for name, path in paths.items())


def _shape(paths: Iterable[str]) -> pl.Struct:
    inside: dict[str, dict[str, type[pl.String]]] = {}
    for path in paths:
        name, _, field = path.partition(".")
        inside.setdefault(name, {}).update({field: pl.String} if field else {})
    return pl.Struct({name: pl.Struct(fields) if fields else pl.String for name, fields in inside.items()})


def _at(path: str) -> pl.Expr:
    found = pl.col("told")
    for name in path.split("."):
        found = found.struct.field(name)
    return found
