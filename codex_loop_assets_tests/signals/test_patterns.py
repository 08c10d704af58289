"""Laws of looking through many texts at once: the same texts match as when Python looks at each."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.settings import section
from codex_loop_assets.signals.patterns import any_of, matching, perhaps_matching, whole_words

RULES = section("rules")
WORDS = (
    "this will fail", "will not fail", "it should fail", "n't", "expected", "assert", "error:", "not found", "Ärger",
    "‘quoted’", "baseline", "pytest", "make", "\n", "--- FAIL", "no such file", "a" * 50, "失败", "reproduce", "x",
)  # fmt: skip
TEXT = st.lists(st.sampled_from(WORDS) | st.text("abé ‘.\n", max_size=6), max_size=12).map(" ".join)
PATTERNS = {
    **{name: any_of(RULES["exec_failure"][name]) for name in ("expected", "looks_first", "error_lines", "absence")},
    "verdicts": any_of(RULES["every_rule"]["verdicts"]),
    "tests": whole_words(RULES["every_rule"]["tests"]),
    "checks": whole_words(RULES["every_rule"]["checks"]),
    "back reference": re.compile(r"(a|x) \1"),
    "all at once": re.compile(r"(?<!not )\bfail[^(\])]{0,12}(?=x)|\Bé{10,12}", re.I),
}


@settings(deadline=None, max_examples=40)
@given(st.lists(TEXT, max_size=8))
@pytest.mark.parametrize("name", PATTERNS)
def test_many_texts_match_as_each_alone(name, texts):
    pattern = PATTERNS[name]
    column = pl.Series([*texts, None], dtype=pl.String)
    (found,) = matching(column, pattern)
    assert found.to_list() == [pattern.search(text) is not None for text in texts] + [False]
    (perhaps,) = perhaps_matching(column, pattern)
    assert not (found & ~perhaps).any()


def test_several_patterns_are_told_apart():
    column = pl.Series(["error: x", "baseline", "will not fail", None])
    names = ("error_lines", "looks_first", "expected")
    found = matching(column, *(PATTERNS[name] for name in names))
    assert [one.to_list() for one in found] == [[True, False, True, False], [False, True, False, False], [False] * 4]
    assert matching(column, PATTERNS["error_lines"], PATTERNS["back reference"])[0].to_list() == [
        True,
        False,
        True,
        False,
    ]
