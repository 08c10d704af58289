"""Times as Codex and its relatives write them, to UTC.

Codex writes `2026-02-01T18:02:11.004Z`; other writers leave out the fraction, write an offset, or numbers.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from codex_loop_assets.tables import TIMESTAMP

_UUID7 = re.compile(r"^([0-9a-fA-F]{8})-([0-9a-fA-F]{4})-7[0-9a-fA-F]{3}-")
_FILE_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T(\d{2})-(\d{2})-(\d{2}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(1971, 1, 1)


def parse_timestamps(texts: pl.Series) -> pl.Series:
    """A column of ISO texts as UTC times; what cannot be read is null."""
    parsed = _in_milliseconds(texts)
    for read in (_in_any_fraction, _one_by_one):
        odd = texts.is_not_null() & parsed.is_null()
        if odd.any():
            parsed = parsed.scatter(odd.arg_true(), read(texts.filter(odd)))
    return parsed


def _in_milliseconds(texts: pl.Series) -> pl.Series:
    """Codex's own form. Polars reads whole seconds four times as fast as a fraction, so that is cut off and added."""
    text = pl.col(texts.name)
    whole = text.str.head(19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False, cache=False)
    digits = text.str.slice(20, 3)
    moment = whole + pl.duration(milliseconds=digits.cast(pl.UInt16, strict=False))
    usual = (text.str.len_bytes() == 24) & text.str.ends_with("Z") & (text.str.slice(19, 1) == ".")
    return _credible(texts, moment, usual & ~digits.str.starts_with("+"))


def _in_any_fraction(texts: pl.Series) -> pl.Series:
    moment = pl.col(texts.name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
    return _credible(texts, moment, pl.lit(True))


def _credible(texts: pl.Series, moment: pl.Expr, where: pl.Expr) -> pl.Series:
    """The times in UTC, but for those that no session has; Python cannot write the years 0 and 10000 at all."""
    told = texts.to_frame().select(pl.when(where).then(moment).alias(texts.name)).to_series()
    credible = pl.col(texts.name).is_between(_EARLIEST, datetime.max)
    return told.to_frame().select(pl.when(credible).then(texts.name)).to_series().dt.replace_time_zone("UTC")


def _one_by_one(texts: pl.Series) -> pl.Series:
    return pl.Series(texts.name, [parse_timestamp(text) for text in texts], dtype=TIMESTAMP)


def parse_timestamp(value: Any) -> datetime | None:
    """One time: ISO text (no offset means UTC), or seconds or milliseconds since 1970. None when it is neither."""
    try:
        if type(value) is str:
            parsed = datetime.fromisoformat(value)
            moment = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
        elif type(value) in (int, float) and value == value:
            moment = _EPOCH + timedelta(seconds=value / 1000 if abs(value) > 1e11 else value)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return moment if moment.year >= _EARLIEST.year else None


def timestamp_text(value: Any) -> str | None:
    """A record's time as text for the column: numbers become ISO text."""
    if value is None or type(value) is str:
        return value
    moment = parse_timestamp(value)
    return None if moment is None else moment.isoformat()


def uuid7_time(text: str) -> datetime | None:
    """The time inside a UUIDv7, else None."""
    match = _UUID7.match(text)
    return None if match is None else parse_timestamp(int(match[1] + match[2], 16))


def file_name_time(name: str) -> datetime | None:
    """The local time in a rollout's file name, read as UTC for want of the zone (so it may be off by the zone's
    offset)."""
    match = _FILE_TIME.search(name)
    if match is None:
        return None
    clock = f"{match[2]}:{match[3]}:{match[4]}" if match[2] else "00:00:00"
    return parse_timestamp(f"{match[1]}T{clock}")
