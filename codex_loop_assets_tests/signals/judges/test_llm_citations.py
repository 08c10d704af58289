"""Evidence: a quotation counts only when the user's own words hold it, hidden parts included."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.signals.judges.llm.citations import original_quote
from codex_loop_assets.signals.redaction import redact

HIDDEN = "".join(("tiger!", "Qx8812"))
MESSAGE = f"No!  You put DB_PASSWORD={HIDDEN} into\n/home/annlee/app again, <b>stop</b>"


def test_a_quotation_is_found_again_in_the_users_own_words():
    assert original_quote("into /home", MESSAGE, "t") == "into\n/home"
    shown = redact(MESSAGE, "t")
    assert HIDDEN not in shown
    assert original_quote(shown, MESSAGE, "t") == MESSAGE
    assert original_quote("/home/[user]/app again", MESSAGE, "t") == "/home/annlee/app again"
    assert original_quote("\\u003cb\\u003estop", MESSAGE, "t") == "<b>stop"


def test_words_that_nobody_typed_are_no_evidence():
    for quote in ("", "   ", "you are great", "no! you put", "[user]", redact(MESSAGE, "t").split("=")[1].split()[0]):
        assert original_quote(quote, MESSAGE, "t") is None, quote


def test_a_placeholder_of_another_session_is_no_evidence():
    assert original_quote(redact(MESSAGE, "other"), MESSAGE, "t") is None


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=60), st.data())
def test_every_part_of_a_message_is_evidence_for_itself(message, data):
    shown = redact(message, "t")
    start = data.draw(st.integers(0, len(shown) - 1))
    end = data.draw(st.integers(start, len(shown)))
    quote = shown[start:end]
    found = original_quote(quote, message, "t")
    if any(character.isalnum() for character in quote) and "[" not in quote:
        assert found is not None and " ".join(found.split()) in " ".join(message.split())
