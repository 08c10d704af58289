"""Laws of labels and actions."""

from __future__ import annotations

import json
from datetime import date, timedelta

import polars as pl
import pytest

from codex_loop_assets.discovery.actions import recommend
from codex_loop_assets.discovery.label import needs_label, readable_label, telling_terms
from codex_loop_assets.settings import section

SETTINGS = section("discovery")
DAY = date(2026, 3, 1)
MANY = {"repositories": 5, "users": 5}


def facts(**clusters: list[str]) -> pl.DataFrame:
    rows = [
        {"signal_id": f"{key}{number}", "type": "friction", "cluster_id": key, "substance": text}
        for key, texts in clusters.items()
        for number, text in enumerate(texts)
    ]
    return pl.DataFrame(rows)


def test_a_label_says_what_tells_a_cluster_apart():
    members = facts(a=["the lockfile is frozen at install"] * 5, b=["the network is blocked at install"] * 5)
    terms = telling_terms({"a": "friction", "b": "friction"}, members, SETTINGS["labels"])
    assert any("lockfile" in term for term in terms["a"]) and any("network" in term for term in terms["b"])
    assert not any(term == "install" for term in terms["a"][:1])


def test_a_cluster_of_stop_words_has_no_terms_and_is_no_error():
    assert telling_terms({"a": "friction"}, facts(a=["the agent failed again"]), SETTINGS["labels"]) == {"a": []}


@pytest.mark.parametrize(
    ("texts", "term"),
    [
        (
            [
                "die Quartalssummen sind nicht da",
                "ich sehe die Quartalssummen nicht",
                "das sind nicht die Quartalssummen",
            ],
            "quartalssummen",
        ),
        (["la limite de longueur n'est pas là", "il me faut la limite de longueur"], "limite"),
        (["el registro de entregas no aparece", "no veo el registro de entregas"], "entregas"),
        (["你改错文件了，我指的是季度汇总", "季度汇总照样不对"], "季度汇总"),
        (["送料無料の表示が出ません", "違います、送料無料の表示です"], "送料無料"),
    ],
)
def test_terms_are_content_words_in_whatever_language_people_write(texts, term):
    members = facts(a=texts * 3, b=["the network is blocked at install"] * 5)
    assert telling_terms({"a": "friction", "b": "friction"}, members, SETTINGS["labels"])["a"][0] == term


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (
            'The user corrects what the agent did or assumed: "no, the port is taken" (task: "start it")',
            "no, the port is taken",
        ),
        ("Command `make` failed (exit code 2: port 80 is taken); it was not seen to work later", "port 80 is taken"),
        (
            "Command `make` failed 2 times (exit code 2); a later `make` worked",
            "Command `make` failed 2 times (exit code 2)",
        ),
        (
            "The user refused to let the agent run `git push` during the request “release”",
            "The user refused to let the agent run `git push`",
        ),
    ],
)
def test_a_label_has_its_terms_and_what_an_example_says(description, said):
    assert readable_label(["port", "taken"], [description], SETTINGS["labels"]) == f"port · taken: {said}"


def test_a_label_takes_the_example_with_most_of_its_terms_and_keeps_its_length():
    label = readable_label(
        ["port", "taken"], ["something else", "the port is taken " + "and taken " * 40], SETTINGS["labels"]
    )
    assert label.startswith("port · taken: the port is taken") and len(label) <= SETTINGS["labels"]["label_characters"]


def test_without_telling_terms_the_label_is_what_the_example_says():
    assert readable_label([], ["it is broken"], SETTINGS["labels"]) == "it is broken"


def test_a_name_changes_only_when_the_cluster_did():
    before = {"parent_ids": [], "size": 20}
    assert not needs_label(before, {"parent_ids": [], "size": 21}, SETTINGS["labels"])
    assert needs_label(before, {"parent_ids": [], "size": 40}, SETTINGS["labels"])
    assert needs_label(before, {"parent_ids": ["x"], "size": 20}, SETTINGS["labels"])


def cluster(**changes) -> dict:
    row = {
        "type": "friction",
        "size": 20,
        "session_count": 9,
        "repository_count": 3,
        "user_count": 2,
        "severity": 2.2,
        "cohesion": 0.8,
        "trend": json.dumps([0] * 20 + [1] * 8),
        "born": DAY - timedelta(days=20),
        "last_arrival": DAY,
    }
    return row | changes


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, "create_ticket"),
        ({"type": "delight"}, "expand_eval_coverage"),
        ({"severity": 1.0}, "expand_eval_coverage"),
        ({"cohesion": 0.5}, "expand_eval_coverage"),
        ({"session_count": 1}, "investigate"),
        ({"size": 5, "session_count": 1, "trend": "[0, 0]"}, "monitor"),
        ({"last_arrival": DAY - timedelta(days=60), "trend": "[0]"}, "monitor"),
    ],
)
def test_thresholds_decide_the_action_and_the_reason_has_the_figures(changes, action):
    row = cluster(**changes)
    chosen, reason = recommend(row, DAY, SETTINGS["actions"], MANY)
    assert chosen == action
    assert f"{row['size']} signals in {row['session_count']} session" in reason


def test_a_misspelt_threshold_is_an_error():
    settings = SETTINGS["actions"] | {"create_ticket": {"types": ["friction"], "because": "", "most_size": 1}}
    with pytest.raises(KeyError, match="most_size"):
        recommend(cluster(), DAY, settings, MANY)


def test_a_pattern_of_one_repository_among_several_opens_no_ticket_and_says_so():
    row = cluster(repository_count=1)
    chosen, reason = recommend(row, DAY, SETTINGS["actions"], MANY)
    assert chosen == "expand_eval_coverage" and "no create_ticket: repositories 1, minimum 2" in reason
    assert recommend(row, DAY, SETTINGS["actions"], MANY | {"repositories": 1})[0] == "create_ticket"
    assert recommend(row | {"repository_count": 2}, DAY, SETTINGS["actions"], MANY)[0] == "create_ticket"


def test_a_team_may_ask_for_a_second_person_but_not_for_more_than_it_has():
    settings = SETTINGS["actions"] | {"create_ticket": SETTINGS["actions"]["create_ticket"] | {"minimum_users": 2}}
    assert recommend(cluster(user_count=1), DAY, settings, MANY)[0] == "expand_eval_coverage"
    assert recommend(cluster(user_count=1), DAY, settings, MANY | {"users": 1})[0] == "create_ticket"
