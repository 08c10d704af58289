"""Laws of the text that is embedded."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.discovery.text import normalise, opening_requests, session_texts, signal_texts, substances
from codex_loop_assets.settings import section

TEXT = section("discovery")["text"]


def test_the_same_trouble_in_two_repositories_reads_the_same():
    one = normalise("`pnpm install` failed 3 times in /home/a/shop/web: lockfile 9f8e7d6c is stale", TEXT)
    other = normalise("`pnpm install` failed 12 times in ~/src/billing/app: lockfile 1a2b3c4d is stale", TEXT)
    assert one == other


def test_a_well_known_file_keeps_its_name():
    assert "pnpm-lock.yaml" in normalise("cannot write packages/web/pnpm-lock.yaml", TEXT)
    assert "shop" not in normalise("cannot write src/shop/cart.py", TEXT)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_a_normalised_text_is_never_empty_and_stays_as_it_is(text):
    once = normalise(text, TEXT)
    assert once.strip()
    assert len(once) <= TEXT["max_characters"]
    assert normalise(once, TEXT) == once


@pytest.mark.parametrize(
    ("description", "about"),
    [
        ('The user corrects what the agent did or assumed: "use pnpm" (task: "install it")', "use pnpm"),
        (
            "Command `pnpm i` failed 3 times (exit code 1: lockfile is stale); it was not seen to work later",
            "pnpm i lockfile is stale",
        ),
        (
            "A reader of the session wrote this line without any frame",
            "A reader of the session wrote this line without any frame",
        ),
    ],
)
def test_the_words_that_only_say_the_category_are_not_embedded(description, about):
    assert substances([description], TEXT) == [about]
    signals = pl.DataFrame({"signal_id": ["s"], "description": [description]})
    assert signal_texts(signals, TEXT) == {"s": normalise(about, TEXT)}


def test_a_session_is_what_its_person_said_and_begins_with_the_first_message():
    said = [
        ("t", 0, 9, True, "still broken"),
        ("t", 0, 1, True, "Fix the\nlogin test"),
        ("t", 0, 5, False, "sub-agent prompt"),
    ]
    columns = ["thread_id", "run", "seq_start", "human", "user_message"]
    turns = pl.DataFrame([*said, ("empty", 0, 1, True, " ")], schema=columns, orient="row")
    assert session_texts(turns, TEXT) == {"t": "fix the login test still broken"}
    assert opening_requests(turns, TEXT) == {"t": "Fix the login test"}
