"""Laws of a graph that has a key: the model judges, embeds and names, from one ledger, and nothing is bought twice."""

from collections import Counter

import pytest

from codex_loop_assets import stages
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.judges import open_governor
from codex_loop_assets.resources.vectors import SESSIONS, SIGNALS, VectorStore
from codex_loop_assets_tests.conftest import write_rollout
from codex_loop_assets_tests.openai_server import OpenAiServer, phrase_model

WHOLE_DAY = [*stages.INGEST, *stages.CANON, *stages.SIGNALS, *stages.DISCOVERY]
DAYS = ["2026-03-01", "2026-03-03"]
WRONG = "no, that is the wrong file"
judging = phrase_model({WRONG: "correction"})


def model(body):
    """Judges sessions by one phrase, and calls every pattern the same."""
    if body["text"]["format"]["name"] == "session_findings":
        return judging(body)
    return {"label": "Builds that stop"}


@pytest.fixture
def server(home, codex_home, monkeypatch):
    for number in range(4, 10):
        write_rollout(codex_home, DAYS[number % 2], number, ["make it build", WRONG])
    with OpenAiServer(model) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def kept(home):
    """What the judge and the clusters left. `calls` says what the run that wrote the row asked, so it differs by intent."""
    tables = ("semantic_signals", "judge_coverage", "signals", "clusters", "cluster_members")
    return {table: home.lake.read(table).drop("calls", strict=False) for table in tables}


def test_a_second_run_of_all_days_asks_nothing_and_changes_nothing(home, server):
    materialise(home, WHOLE_DAY, days=DAYS)
    before = kept(home)
    asked = Counter(server.calls)
    spent = open_governor(home).by_purpose()
    assert asked["POST", "/v1/responses"] > 0 and asked["POST", "/v1/embeddings"] > 0
    materialise(home, WHOLE_DAY, days=DAYS)
    assert Counter(server.calls) == asked and open_governor(home).by_purpose() == spent
    after = kept(home)
    assert [table for table in before if not after[table].equals(before[table])] == []


def test_all_that_a_model_does_is_paid_from_one_ledger_and_told_apart(home, server):
    materialise(home, WHOLE_DAY, days=DAYS)
    spent = open_governor(home).by_purpose()
    assert spent.keys() == {"judging", "embeddings", "labels"} and all(dollars > 0 for dollars in spent.values())


def test_the_models_findings_vectors_and_names_are_those_that_are_kept(home, server):
    materialise(home, WHOLE_DAY, days=DAYS)
    findings = home.lake.read("semantic_signals")
    assert set(findings["category"]) == {"correction"} and len(findings) == 7
    vectors = VectorStore(home.vectors_path)
    assert vectors.spaces(SIGNALS) == vectors.spaces(SESSIONS) == ["text-embedding-3-small/256"]
    assert set(home.lake.read("clusters")["label"]) == {"Builds that stop"}
