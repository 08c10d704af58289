"""Laws of shared fragments: they occur literally, in as many sessions as no other, and say as much as they can."""

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.loop.fragments import shared_fragments
from codex_loop_assets.settings import section

SETTINGS = section("tickets")["facts"]["fragment"]
words = st.lists(
    st.sampled_from(["database", "locked", "is", "the", "error:", "port", "8080", "(stock.db)"]), max_size=8
)


def test_what_differs_is_left_out_and_what_is_shared_is_whole():
    texts = [
        ("a", "sqlite3.OperationalError: database is locked (stock.db)"),
        ("b", "sqlite3.OperationalError: database is locked: shop.sqlite"),
        ("c", "E   sqlite3.OperationalError: database is locked"),
    ]
    assert shared_fragments(texts, SETTINGS)[0] == "sqlite3.OperationalError: database is locked"


def test_one_session_shares_nothing_with_itself():
    assert shared_fragments([("a", "database is locked again"), ("a", "database is locked again")], SETTINGS) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), words.map(" ".join)), max_size=6))
def test_a_fragment_occurs_literally_in_two_sessions_at_least(texts):
    for fragment in shared_fragments(texts, SETTINGS):
        assert len({thread for thread, text in texts if fragment in text}) >= 2
        assert fragment == fragment.strip()


def test_words_that_only_point_at_something_name_nothing():
    texts = [
        (thread, f"no, that only hides it. {cause}. Do that instead, not this")
        for thread, cause in [("a", "x"), ("b", "y")]
    ]
    assert shared_fragments(texts, SETTINGS)[0] == "no, that only hides"


def test_the_message_that_most_sessions_have_comes_before_longer_words_that_fewer_have():
    texts = [
        (thread, f"Error: listen EADDRINUSE: port {port}") for thread, port in zip("abcdefgh", range(8), strict=True)
    ]
    texts += [(thread, f"process {thread}{thread}{thread} is running in the background") for thread in "abcde"]
    assert shared_fragments(texts, SETTINGS)[0].startswith("Error: listen EADDRINUSE")
