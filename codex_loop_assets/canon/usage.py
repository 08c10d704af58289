"""Token usage by difference of running totals.

Codex's totals repeat (rate-limit refreshes), start again (a new process, a forked thread), and the figure for the
last request is an estimate after a compaction; so usage is the sum of increases, and a decrease is a new start. A fork counts
on from its parent's totals, which are none of its own use; where it does not say what those were, its first request's own
figure stands for its use until then.
"""

from __future__ import annotations

import polars as pl

_DECODED_AT_ONCE = 10_000  # Decoding takes a kilobyte of memory for each text.
FIELDS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")


def increases(events: pl.DataFrame) -> pl.DataFrame:
    """Per token_count record: (thread, run, turn, ordinal, FIELDS), each the tokens since the record before."""
    counts = events.filter((pl.col("kind") == "token_count") & pl.col("tokens").is_not_null())
    detail = pl.col("detail").fill_null("")
    counts = counts.select(
        "thread",
        "run",
        "turn",
        "ordinal",
        detail.str.contains('"inherited":true', literal=True).alias("inherited"),
        detail.str.contains('"own":{', literal=True).alias("goes_on"),
        detail.str.extract(r'"own":(\{[^{}]*\})').alias("own"),
        *_totals(counts["tokens"]).get_columns(),
    )
    used = _totals(counts.filter("goes_on")["own"]).select(pl.all().name.suffix("_own"))
    place = counts["goes_on"].cum_sum().cast(pl.Int64) - 1
    counts = counts.with_columns(
        used[name].gather(place.set(~counts["goes_on"], None)) if used.height else pl.lit(None, pl.Int64).alias(name)
        for name in used.columns
    )
    # The records of a thread follow one another, so that no grouping is needed.
    continues = pl.col("thread") == pl.col("thread").shift(1)
    restarted = continues & (pl.col("total_tokens") < pl.col("total_tokens").shift(1))
    return counts.with_columns(
        pl.when("inherited")
        .then(0)
        .when("goes_on")
        .then(pl.min_horizontal(name, pl.col(f"{name}_own").fill_null(0)))
        .when(restarted)
        .then(pl.col(name))
        .when(continues)
        .then(pl.col(name) - pl.col(name).shift(1))
        .otherwise(pl.col(name))
        .clip(0)
        .alias(name)
        for name in FIELDS
    )


def _totals(tokens: pl.Series) -> pl.DataFrame:
    """The columns FIELDS of these JSON texts; what is no whole number is null."""
    slices = [tokens.slice(start, _DECODED_AT_ONCE) for start in range(0, max(tokens.len(), 1), _DECODED_AT_ONCE)]
    return pl.concat(map(_decoded, slices))


def _decoded(tokens: pl.Series) -> pl.DataFrame:
    try:
        return tokens.str.json_decode(pl.Struct(dict.fromkeys(FIELDS, pl.Int64))).struct.unnest()
    except pl.exceptions.ComputeError:
        # One odd value refuses the whole column; patterns take each by itself, in more than twice the time.
        return tokens.to_frame("tokens").select(
            pl.col("tokens").str.extract(rf'"{name}":\s?(\d+)').cast(pl.Int64, strict=False).alias(name)
            for name in FIELDS
        )
