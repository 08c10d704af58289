"""Laws of asking a model for words: structured, paid for once, never in the way."""

from __future__ import annotations

import polars as pl
import pytest

from codex_loop_assets.discovery.ask import Asker, open_asker
from codex_loop_assets.discovery.draft import WORDS, TemplateDrafter
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
    assert words["drafted_by"] == MODEL["name"] and set(words) == set(WORDS)


@pytest.mark.parametrize(
    "answer",
    [
        DRAFT | {"definition": " \n "},
        DRAFT | {"inclusion_criteria": []},
        DRAFT | {"inclusion_criteria": ["", "  "]},
        DRAFT | {"name": ""},
        {"sensible": True},
        {"sensible": "perhaps"} | DRAFT | {"inclusion_criteria": "one"},
    ],
)
def test_a_draft_that_lacks_what_a_reviewer_needs_is_worded_locally_and_that_is_said(tmp_path, answer):
    with OpenAiServer(lambda body: answer) as server:
        asker = Asker(MODEL, tmp_path, server.environment)
        words = ModelDrafter(asker, TemplateDrafter(SETTINGS["proposals"])).draft(ROW, ["frozen"], [])
    assert words["drafted_by"] == "local" and words["inclusion_criteria"]
    assert sum(asker.unanswered().values()) == 1 and asker.unanswered() == {}


@pytest.mark.parametrize("kind", ["status", "refusal", "malformed", "incomplete"])
def test_a_draft_that_did_not_come_is_worded_locally(tmp_path, kind):
    with OpenAiServer(lambda body: DRAFT) as server:
        server.faults.add(Fault(kind))
        asker = Asker(MODEL, tmp_path, server.environment)
        assert ModelDrafter(asker, TemplateDrafter(SETTINGS["proposals"])).draft(ROW, [], [])["drafted_by"] == "local"
    assert len(asker.failures) == 1


def test_what_a_model_writes_is_redacted_put_on_one_line_and_cut(tmp_path):
    secret = "ghp_" + "a1B2c3D4e5" * 4
    long = {"definition": f"uses {secret}\n## Heading " + "word " * 500, "inclusion_criteria": ["a\nb"] * 50}
    with OpenAiServer(lambda body: DRAFT | long) as server:
        drafter = ModelDrafter(Asker(MODEL, tmp_path, server.environment), TemplateDrafter(SETTINGS["proposals"]))
        words = drafter.draft(ROW, ["frozen"], [])
    assert secret not in words["definition"] and "\n" not in words["definition"] and len(words["definition"]) <= 400
    assert words["inclusion_criteria"] == ["a b"] * 8


def test_a_draft_that_does_not_fit_into_the_budget_is_worded_locally_and_bought_when_there_is_money(tmp_path):
    with OpenAiServer(lambda body: DRAFT) as server:
        for budget, drafted_by in ((0.0, "local"), (5.0, MODEL["name"]), (0.0, MODEL["name"])):
            asker = Asker(MODEL, tmp_path, server.environment, purse(tmp_path, budget)[0])
            drafter = ModelDrafter(asker, TemplateDrafter(SETTINGS["proposals"]))
            assert drafter.draft(ROW, ["frozen"], [])["drafted_by"] == drafted_by
        assert len(server.requests) == 1


def test_why_a_question_got_no_answer_holds_no_words_of_it(tmp_path):
    with OpenAiServer(lambda body: {"label": 5, "says": "the lockfile is frozen"}) as server:
        asker = Asker(MODEL, tmp_path, server.environment)
        labelled(asker)
    assert asker.failures and "frozen" not in " ".join(asker.failures)


def test_a_model_may_say_that_there_is_no_pattern(tmp_path):
    with OpenAiServer(lambda body: DRAFT | {"sensible": False}) as server:
        drafter = ModelDrafter(Asker(MODEL, tmp_path, server.environment), TemplateDrafter(SETTINGS["proposals"]))
        assert drafter.draft(ROW, ["frozen"], []) is None


@pytest.mark.parametrize(("environment", "enabled"), [({}, True), ({"OPENAI_API_KEY": "k"}, False)])
def test_no_key_or_no_wish_means_no_model(tmp_path, environment, enabled):
    assert open_asker(MODEL | {"enabled": enabled}, tmp_path, environment) is None
