"""Laws of texts kept apart: whatever is asked for in whatever order is what was given, in memory or in the file."""

import tempfile
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.traces.settings import read_settings
from codex_loop_assets.traces.texts import NoRoomForTexts, Texts
from codex_loop_assets_tests.traces.building import ingest, line, meta, prompt, rollout_path, write_rollout

BLOCKS = st.lists(
    st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5), max_size=5
)


@given(BLOCKS, st.sampled_from((-1, 40, 1_000_000)), st.randoms())
def test_texts_come_back_in_any_order_wherever_they_waited(blocks, in_memory, random_):
    texts = Texts(in_memory)
    places = [place for block in blocks for place in texts.add(pl.Series("text", block, pl.String))]
    given_ = [text for block in blocks for text in block]
    order = list(range(len(given_)))
    random_.shuffle(order)
    asked = pl.Series("text", [places[index] for index in order], dtype=pl.String)
    assert texts.at(asked).to_list() == [given_[index] for index in order]


def test_a_day_is_the_same_whether_its_texts_stayed_in_memory_or_not_and_its_parts_are_the_whole(tmp_path):
    lines = [
        line(0, "session_meta", meta()),
        *(record for n in range(9) for record in prompt(n + 1, f"part {n} of it")),
    ]
    write_rollout(rollout_path(tmp_path), lines)
    settings = replace(read_settings(), texts_in_memory=-1, batch_rows=1)
    apart = ingest(tmp_path, settings=settings)
    assert apart.events.equals(ingest(tmp_path).events)
    assert pl.concat(list(apart.event_parts())).equals(apart.events)
    write_rollout(tmp_path / "sessions" / "other.jsonl", [line(0, "session_meta", meta("other")), *prompt(1, "more")])
    grown = ingest(tmp_path, apart, settings=settings)
    assert len(grown.opened) == 1 and grown.events.equals(ingest(tmp_path).events)


def test_a_full_disk_is_said_and_is_no_unreadable_session(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    write_rollout(rollout_path(tmp_path), [line(0, "session_meta", meta()), *prompt(1, "hi")])
    with pytest.raises(NoRoomForTexts):
        ingest(tmp_path, settings=replace(read_settings(), texts_in_memory=-1, batch_rows=1))
