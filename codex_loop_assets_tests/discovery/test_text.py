"""Laws of the text that is embedded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.discovery.text import normalise
from codex_loop_assets.settings import section

TEXT = section("discovery")["text"]


def test_the_same_trouble_in_two_repositories_reads_the_same():
    one = normalise("`pnpm install` failed 3 times in /home/a/shop/web: lockfile 9f8e7d6c is stale", TEXT)
    other = normalise("`pnpm install` failed 12 times in ~/src/billing/app: lockfile 1a2b3c4d is stale", TEXT)
    assert one == other


def test_a_well_known_file_keeps_its_name():
    assert "pnpm-lock.yaml" in normalise("cannot write packages/web/pnpm-lock.yaml", TEXT)
    assert "shop" not in normalise("cannot write src/shop/cart.py", TEXT)


@given(st.text(max_size=300))
def test_a_normalised_text_is_never_empty_and_stays_as_it_is(text):
    once = normalise(text, TEXT)
    assert once.strip()
    assert len(once) <= TEXT["max_characters"]
    assert normalise(once, TEXT) == once
