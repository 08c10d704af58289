"""Laws of asking a model for words: structured, paid for once, never in the way."""

from __future__ import annotations

import polars as pl
import pytest

from codex_loop_assets.discovery.ask import Asker, open_asker
from codex_loop_assets.discovery.draft import TemplateDrafter
from codex_loop_assets.discovery.draft_llm import ModelDrafter
from codex_loop_assets.discovery.label_llm import ModelLabeller
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.llm.governor import Governor
from codex_loop_assets.signals.judges.llm.prices import Prices
from codex_loop_assets.signals.judges.llm.purse import Purse
from codex_loop_assets_tests.openai_server import Fault, OpenAiServer

SETTINGS = section("discovery")
MODEL = SETTINGS["model"] | {"max_retries": 0}
ROW = {
    "cluster_id": "c",
    "type": "friction",
    "terms": ["lockfile", "frozen"],
    "label": "lockfile",
    "description": "the lockfile is frozen",
    "exemplar_ids": ["s"],
    "counterexample_ids": [],
    "severity": 2.0,
    "action": "create_ticket",
}
FACTS = pl.DataFrame(
    [
        {
            "signal_id": "s",
            "type": "friction",
            "cluster_id": "c",
            "description": "the lockfile is frozen",
            "substance": "frozen",
        }
    ]
)
DRAFT = {
    "sensible": True,
    "name": "frozen_lockfile",
    "definition": "An install stops at a frozen lockfile.",
    "inclusion_criteria": ["it does"],
    "exclusion_criteria": [],
    "severity_rule": "2",
}


def labelled(asker: Asker) -> dict:
    row = dict(ROW)
    ModelLabeller(asker, SETTINGS["labels"]).label([row], [row], FACTS)
    return row


def purse(tmp_path, budget: float) -> tuple[Purse, Governor]:
    governor = Governor(tmp_path / "spending.jsonl", budget, purpose="labels")
    return Purse(governor, Prices(section("prices"))), governor


def test_a_label_is_paid_for_from_the_judges_ledger_and_budget(tmp_path):
    money, governor = purse(tmp_path, 5.0)
    with OpenAiServer(lambda body: {"label": "Frozen lockfile"}) as server:
        labelled(Asker(MODEL, tmp_path, server.environment, money))
    spent = Governor(tmp_path / "spending.jsonl", 5.0).by_purpose()
    assert spent.keys() == {"labels"} and 0 < spent["labels"] < 0.01
    assert governor.left() == pytest.approx(5.0 - spent["labels"])


def test_a_label_that_does_not_fit_into_the_budget_is_not_asked_for(tmp_path):
    money, _ = purse(tmp_path, 0.0)
    with OpenAiServer(lambda body: {"label": "Frozen lockfile"}) as server:
        asker = Asker(MODEL, tmp_path, server.environment, money)
        assert labelled(asker)["label"] != "Frozen lockfile"
    assert asker.calls == 0 and "budget" in asker.failures[0]


def test_a_question_that_the_provider_refused_costs_nothing(tmp_path):
    money, governor = purse(tmp_path, 5.0)
    with OpenAiServer(lambda body: {"label": "x"}) as server:
        server.faults.add(Fault("status", status=500))
        labelled(Asker(MODEL, tmp_path, server.environment, money))
    assert governor.spent() == 0.0


def test_a_label_is_asked_for_once(tmp_path):
    with OpenAiServer(lambda body: {"label": "Frozen  lockfile"}) as server:
        asker = Asker(MODEL, tmp_path, server.environment)
        again = Asker(MODEL, tmp_path, server.environment)
        assert [labelled(asker)["label"], labelled(again)["label"]] == ["Frozen lockfile"] * 2
        assert labelled(again)["label_from"] == MODEL["name"]
        assert len(server.requests) == 1 and (asker.calls, again.calls) == (1, 0)
        assert "the lockfile is frozen" not in server.requests[0]["instructions"]


@pytest.mark.parametrize("kind", ["status", "refusal", "malformed", "incomplete"])
def test_a_failed_question_leaves_the_local_name_and_is_said(tmp_path, kind):
    with OpenAiServer(lambda body: {"label": "x"}) as server:
        server.faults.add(Fault(kind))
        asker = Asker(MODEL, tmp_path, server.environment)
        assert labelled(asker)["label_from"] == "local"
        assert len(asker.failures) == 1
        assert labelled(asker)["label_from"] == MODEL["name"]


def test_no_more_calls_are_made_than_a_run_may(tmp_path):
    with OpenAiServer(lambda body: {"label": "x"}) as server:
        asker = Asker(MODEL | {"maximum_calls": 0}, tmp_path, server.environment)
        assert labelled(asker)["label_from"] == "local"
        assert server.requests == [] and "used up" in asker.failures[0]


def test_a_draft_becomes_the_words_of_a_proposal(tmp_path):
    with OpenAiServer(lambda body: DRAFT) as server:
        drafter = ModelDrafter(Asker(MODEL, tmp_path, server.environment), TemplateDrafter(SETTINGS["proposals"]))
        words = drafter.draft(ROW, ["frozen"], [])
    assert (words["name"], words["recommended_action"]) == ("frozen_lockfile", "create_ticket")


def test_a_model_may_say_that_there_is_no_pattern(tmp_path):
    with OpenAiServer(lambda body: DRAFT | {"sensible": False}) as server:
        drafter = ModelDrafter(Asker(MODEL, tmp_path, server.environment), TemplateDrafter(SETTINGS["proposals"]))
        assert drafter.draft(ROW, ["frozen"], []) is None


@pytest.mark.parametrize(("environment", "enabled"), [({}, True), ({"OPENAI_API_KEY": "k"}, False)])
def test_no_key_or_no_wish_means_no_model(tmp_path, environment, enabled):
    assert open_asker(MODEL | {"enabled": enabled}, tmp_path, environment) is None
