"""Laws of a model's advice: it points to facts and states none, or it is thrown away and the templates speak."""

from __future__ import annotations

import json

import polars as pl
import pytest

from codex_loop_assets.discovery.ask import Asker
from codex_loop_assets.loop import tickets
from codex_loop_assets.settings import section
from codex_loop_assets_tests.loop import world
from codex_loop_assets_tests.openai_server import Fault, OpenAiServer

MODEL = section("discovery")["model"] | {"max_retries": 0}
GOOD = (
    "Install the plugin before the agent starts: {error} ends {error.count} of {error.total} failing {command} calls."
)


def build(tmp_path, sentences, frames=None, fault=None):
    with OpenAiServer(lambda body: {"sentences": sentences}) as server:
        if fault:
            server.faults.add(fault)
        asker = Asker(MODEL, tmp_path, server.environment)
        ticket = tickets.build(world.CLUSTER, frames or world.frames(), [], world.TODAY, asker=asker)
        return ticket, server.requests


def test_numbers_and_quotations_come_from_the_evidence(tmp_path):
    ticket, _ = build(tmp_path, [GOOD])
    [suggestion] = ticket.advice.suggestions
    assert suggestion.text.endswith(f"`{world.ERROR}` ends 20 of 20 failing `pytest` calls.")
    assert ticket.findings == () and ticket.advice.written_by == MODEL["name"]
    assert f"Written by {MODEL['name']}" in ticket.markdown


@pytest.mark.parametrize(
    "sentence",
    [
        "In 18 of 20 calls {error} appears ({error.count}).",
        "Fix {nonsense}, {nonsense.count} times.",
        "Improve error handling around {error} ({error.count}).",
        "Make the tests pass.",
        "{error} appears again and again.",
        "People say “never mind” after {error} ({error.count}).",
        "Use `rm` where {error} appears ({error.count}).",
    ],
)
def test_a_sentence_that_cannot_be_checked_is_thrown_away(tmp_path, sentence):
    ticket, _ = build(tmp_path, [sentence])
    assert ticket.advice.written_by == "templates" and ticket.advice.suggestions and ticket.findings == ()


def test_good_sentences_survive_bad_ones(tmp_path):
    ticket, _ = build(tmp_path, ["Try 3 times.", GOOD])
    assert len(ticket.advice.suggestions) == 1 and ticket.advice.written_by == MODEL["name"]


def test_words_of_the_model_are_never_markup(tmp_path):
    ticket, _ = build(tmp_path, ["See [this](http://x) <b>now</b>: {error} in {error.count} calls."])
    assert r"\[this\](http\:" in ticket.advice.suggestions[0].text and r"\<b\>" in ticket.advice.suggestions[0].text


def test_a_model_that_fails_costs_no_ticket(tmp_path):
    ticket, _ = build(tmp_path, [GOOD], fault=Fault("status"))
    assert ticket.advice.written_by == "templates" and ticket.findings == ()


def test_no_secret_is_sent_to_the_model(tmp_path):
    secret = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"
    frames = world.frames()
    frames["signals"] = frames["signals"].with_columns(description=pl.lit(f"leaks {secret}"))
    frames["clusters"] = frames["clusters"].with_columns(description=pl.lit(f"leaks {secret}"))
    frames["tool_calls"] = frames["tool_calls"].with_columns(output=pl.lit(f"error: {secret}"))
    _, requests = build(tmp_path, [GOOD], frames)
    assert requests and secret not in json.dumps(requests)


def test_no_model_is_asked_about_a_ticket_that_does_not_open(tmp_path):
    _, requests = build(tmp_path, [GOOD], world.frames(affected=2))
    assert requests == []
