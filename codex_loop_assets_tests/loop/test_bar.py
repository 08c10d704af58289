"""From labels through the scorecard to the ticket rule: a detector below its configured bar opens no ticket on its own."""

from __future__ import annotations

import polars as pl

from codex_loop_assets.loop import tickets
from codex_loop_assets.measure.scorecard import scorecard
from codex_loop_assets.measure.truth import LabelledMoment, Truth
from codex_loop_assets.settings import section
from codex_loop_assets.tables import DETECTIONS
from codex_loop_assets_tests.loop import world

BAR = section("scorecard")["bars"]["mechanical"]


def ticket(right: int, bars: dict | None = None, by_another: int = 0) -> dict:
    """The ticket row of the world's pattern of 10 signals, of which so many are labelled as right. The first `by_another`
    signals were found by another detector, all of whose findings are right."""
    frames = world.frames()
    signals = frames["signals"].sort("signal_id").with_row_index("place")
    friction = signals.filter(pl.col("type") == "friction")["signal_id"].head(by_another)
    another = pl.col("signal_id").is_in(friction.implode())
    signals = signals.with_columns(
        detector=pl.when(another).then(pl.lit("llm_judge")).otherwise("detector"),
        detectors=pl.when(another).then(pl.lit(["llm_judge"])).otherwise("detectors"),
    ).drop("place")
    frames["signals"] = signals
    detections = DETECTIONS.conform(signals.select(DETECTIONS.schema.keys() & set(signals.columns)))
    frames["detections"] = detections
    settings = section("scorecard") | {"category_bars": bars or {}}
    frames["scorecard"] = scorecard(truth(detections, right), detections, frames["turns"], settings=settings)
    return tickets.build(world.CLUSTER, frames, [], world.TODAY).row


def truth(detections: pl.DataFrame, right: int) -> Truth:
    """Labels under which so many of the rule's findings are right, and every finding of the judge."""
    rows = detections.filter(pl.col("type") == "friction").sort("signal_id").to_dicts()
    ours = [row for row in rows if row["detector"] == "mechanical"][:right]
    theirs = [row for row in rows if row["detector"] != "mechanical"]
    moments = tuple(
        LabelledMoment(
            row["thread_id"], row["run"], (row["seq_start"],), row["category"], "friction",
            "mechanical" if row["detector"] == "mechanical" else "semantic",
        )
        for row in (*ours, *theirs)
    )  # fmt: skip
    return Truth("planted_fixtures", dict.fromkeys(detections["thread_id"], "en"), moments)


def test_a_detector_at_its_bar_opens_a_ticket():
    assert ticket(right=9)["status"] == "new"


def test_a_detector_below_its_configured_bar_opens_no_ticket_on_its_own():
    row = ticket(right=7)
    assert row["status"] == "not_opened" and "precision bar" in row["reason"]


def test_the_bar_is_what_the_configuration_says():
    assert ticket(right=7, bars={"exec_failure": 0.6})["status"] == "new"
    assert ticket(right=9, bars={"exec_failure": 0.95})["status"] == "not_opened"


def test_beside_enough_signals_of_a_detector_above_its_bar_it_may():
    enough = section("tickets")["open"]["minimum_signals"]
    below = int(BAR * (10 - enough - 1)) - 1
    assert ticket(right=below, by_another=enough - 1)["status"] == "not_opened"
    assert ticket(right=below, by_another=enough + 1)["status"] == "new"
