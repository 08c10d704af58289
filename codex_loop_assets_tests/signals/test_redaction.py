"""Laws of the outlet: what is hidden, what is left, what placeholders may tell."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.settings import section
from codex_loop_assets.signals.redaction import Redactor, redact, redact_many
from codex_loop_assets.signals.redaction.detectors import load_detectors
from codex_loop_assets_tests.signals.secret_generator import Planted, look_alikes, secrets

PLACEHOLDER = re.compile(r"\[secret:([a-z_]+):([0-9a-f]{4})\]|\[user\]")
THREAD = "0199a213-81c0-7800-8aa1-bbab2a035a53"


def found(planted: Planted) -> bool:
    return planted.secret not in redact(planted.text, THREAD)


def test_recall_and_precision_on_generated_secrets():
    positives, negatives = secrets(per_kind=8), look_alikes(per_kind=20)
    kinds = {planted.kind for planted in positives}
    assert len(kinds) >= 40 and len(positives) >= 500
    true_positives = sum(found(planted) for planted in positives)
    false_positives = sum(len(PLACEHOLDER.findall(redact(planted.text, THREAD))) for planted in negatives)
    false_positives += sum(
        len(PLACEHOLDER.findall(redact(planted.text, THREAD))) - found(planted) for planted in positives
    )
    missed = sorted({planted.kind for planted in positives if not found(planted)})
    assert true_positives / len(positives) >= 0.95, missed
    assert true_positives / (true_positives + false_positives) >= 0.9


@pytest.mark.parametrize("kind", sorted({planted.kind for planted in secrets(per_kind=1)}))
def test_every_kind_is_found_nearly_always(kind):
    planted = [one for one in secrets(per_kind=12, seed=3) if one.kind == kind]
    missed = [one.text for one in planted if not found(one)]
    assert len(missed) <= len(planted) // 6, missed


@pytest.mark.parametrize("kind", sorted({planted.kind for planted in look_alikes(per_kind=1)}))
def test_look_alikes_are_left_alone(kind):
    planted = [one for one in look_alikes(per_kind=12, seed=5) if one.kind == kind]
    changed = [(one.text, redact(one.text)) for one in planted if redact(one.text) != one.text]
    assert len(changed) <= len(planted) // 12, changed[:2]


def test_text_around_a_secret_is_left_as_it_was():
    for planted in secrets(per_kind=2):
        before = planted.text.split(planted.secret)[0]
        kept = redact(planted.text, THREAD)
        assert kept[: max(0, len(before) - 60)] == before[: max(0, len(before) - 60)]


def test_equal_secrets_of_a_thread_share_a_placeholder_and_others_differ():
    password, other = "tiger!" + "Qx81", "river+" + "Zk42"
    text = f"DB_PASSWORD={password}\nCACHE_PASSWORD={other}\nDB_PASSWORD={password}\n"
    first, second, third = (line.split("=")[1] for line in redact(text, THREAD).splitlines())
    assert first == third != second
    assert redact(f"password='{password}'", THREAD).split("'")[1] == first


def test_placeholders_of_two_threads_cannot_be_linked():
    text = "DB_PASSWORD=" + "tiger!" + "Qx81\n"
    assert redact(text, "one") != redact(text, "two")
    assert Redactor(section("redaction"), salt="home").redact(text, "one") != redact(text, "one")


def test_a_user_name_and_the_rest_of_its_path():
    assert redact("/home/annlee/src/app.py") == "/home/[user]/src/app.py"
    assert redact("C:\\\\Users\\\\annlee\\\\x") == "C:\\\\Users\\\\[user]\\\\x"
    assert redact("~/.codex/projects/-Users-annlee-code") == "~/.codex/projects/-Users-[user]-code"


def test_a_private_key_cut_off_in_the_middle_is_hidden_to_its_last_line():
    body = "\n".join("Ab0+/" * 12 for _ in range(6))
    text = "-----BEGIN RSA PRIVATE" + " KEY-----\n" + body
    assert "Ab0+/" not in redact(text)


def test_columns_keep_their_nulls_and_length():
    assert redact_many([None, "plain", "/home/annlee"], ["a", "a", "b"]) == [None, "plain", "/home/[user]"]
    with pytest.raises(ValueError):
        redact_many(["a"], [])


_FRAGMENTS = st.one_of(
    st.sampled_from([planted.text for planted in secrets(per_kind=1) + look_alikes(per_kind=1)]),
    st.text(max_size=30),
    st.sampled_from(["password=", "token: ", "://", "@", "[secret:", "]", "[user]", "/home/", "eyJ", "\\n", " "]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_FRAGMENTS, max_size=8))
def test_redacting_twice_changes_nothing_more(fragments):
    once = redact("".join(fragments), THREAD)
    assert redact(once, THREAD) == once


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=200))
def test_any_text_even_with_lone_surrogates_passes(text):
    assert isinstance(redact(text, "t"), str)


def test_text_without_anything_to_hide_is_the_same_object():
    text = "collected 12 items\n" * 50
    assert redact(text) is text


def test_every_detector_has_a_pattern_that_compiles():
    assert all(patterns for patterns, _ in (detector.compiled() for detector in load_detectors(section("redaction"))))


def test_redacting_loads_no_http_client_and_leaves_it_usable():
    code = (
        "import sys; from codex_loop_assets.signals.redaction import redact; redact('AC' + 'x'); "
        "loaded = 'urllib3' in sys.modules; import requests.sessions; "
        "print(loaded, requests.Session is requests.sessions.Session)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
