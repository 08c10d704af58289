"""Laws of the evaluation sets and of the funnel: proven tasks only, nothing lost from the count."""

from __future__ import annotations

from datetime import date

from codex_loop_assets.distill.funnel import funnel
from codex_loop_assets.distill.sets import evaluation_sets, neighbours, shortfalls
from codex_loop_assets.distill.validate import validate
from codex_loop_assets.settings import section
from codex_loop_assets.tables import CLUSTERS, HARBOR_DATASETS, TASK_VALIDATIONS

DAY = date(2026, 3, 23)


def cluster(name: str, kind: str = "friction", category: str = "exec_failure", status: str = "live") -> dict:
    blank = {column.name: None for column in CLUSTERS.columns}
    return blank | {
        "dt": DAY,
        "cluster_id": name,
        "type": kind,
        "label": name,
        "label_from": "local",
        "description": "",
        "size": 5,
        "severity": 2.0,
        "status": status,
        "parent_ids": [],
        "born": DAY,
        "last_arrival": DAY,
        "session_count": 3,
        "user_count": 1,
        "repository_count": 1,
        "top_category": category,
        "terms": [],
        "exemplar_ids": [],
        "counterexample_ids": [],
        "facets": "{}",
        "trend": "[]",
        "cohesion": 0.9,
        "action": "monitor",
        "action_reason": "",
        "embedding_model": "m",
    }


def task(cluster_id: str, name: str, stage: str = "built", reason: str = "") -> dict:
    return {
        "cluster_id": cluster_id,
        "candidate_id": name,
        "signal_ids": [f"sig_{name}"],
        "thread_id": "t",
        "stage": stage,
        "reason": reason,
        "task_name": f"codex-loop/{name}",
        "task_dir": f"harbor/datasets/{cluster_id}/{name}",
        "digest": f"sha256:{name}",
        "verifier_kind": "command",
    }


def verdict(cluster_id: str, name: str, status: str = "validated", digest: str | None = None) -> dict:
    return {
        "cluster_id": cluster_id,
        "candidate_id": name,
        "digest": digest or f"sha256:{name}",
        "check": "verdict",
        "attempt": 0,
        "status": status,
        "reason": "x",
    }


def test_neighbours_are_live_related_clusters_of_the_same_type_nearest_first():
    clusters = CLUSTERS.frame(
        [
            cluster("own"),
            cluster("near"),
            cluster("far"),
            cluster("merged", status="merged"),
            cluster("joy", kind="delight"),
            cluster("shares_repository", category="timeout"),
            cluster("stranger", category="timeout"),
        ]
    )
    repositories = {"own": {"a"}, "shares_repository": {"a", "b"}, "stranger": {"c"}}
    centroids = {"own": [1.0, 0.0], "near": [0.9, 0.1], "far": [0.0, 1.0], "shares_repository": [0.5, 0.5]}
    assert neighbours("own", clusters, repositories, centroids, 5) == ["near", "shares_repository", "far"]
    assert neighbours("own", clusters, repositories, centroids, 1) == ["near"]


def test_only_tasks_proven_at_their_present_digest_are_in_a_set():
    datasets = HARBOR_DATASETS.frame(
        [task("own", "a"), task("own", "b"), task("own", "c"), task("joy", "d"), task("own", "e", "segment", "r")]
    )
    validations = TASK_VALIDATIONS.frame(
        [
            verdict("own", "a"),
            verdict("own", "b", "rejected"),
            verdict("own", "c", digest="sha256:old"),
            verdict("joy", "d"),
        ]
    )
    sets = evaluation_sets("own", [], ["joy"], datasets, validations)
    assert sets.select("candidate_id", "set_kind").rows() == [("a", "target"), ("d", "delight_guard")]
    assert set(shortfalls(sets, section("distill")["sets"])) == {"target", "neighbour", "delight_guard"}


def test_the_funnel_counts_every_signal_and_adds_equal_reasons_up():
    datasets = HARBOR_DATASETS.frame(
        [
            task("c", "a"),
            task("c", "b"),
            task("c", "s1", "segment", "a patch does not fit: x/y.py: no such file"),
            task("c", "s2", "segment", "a patch does not fit: z.py: no such file"),
            task("c", "n", "signal", "no turn of the thread holds it"),
        ]
    )
    found = funnel(datasets, TASK_VALIDATIONS.frame([verdict("c", "a"), verdict("c", "b", "rejected")]))
    assert found.signals == 5
    assert found.reached == {"segments": 4, "candidates": 2, "built tasks": 2}
    assert found.verdicts == {"validated": 1, "needs_review": 0, "rejected": 1, "unvalidated": 0}
    assert max(found.reasons.values()) == 2
    assert sum(found.reasons.values()) == 4


def test_without_an_engine_tasks_are_unvalidated_and_the_row_says_how_to_validate(tmp_path):
    datasets = HARBOR_DATASETS.frame(
        [task("c", "a"), task("c", "b") | {"verifier_kind": "none", "reason": "free wording"}]
    )
    rows = validate(datasets, tmp_path, section("distill"), None, "no engine: docker is not on PATH").to_dicts()
    assert [(row["candidate_id"], row["status"]) for row in rows] == [("a", "unvalidated"), ("b", "needs_review")]
    assert "no engine" in rows[0]["reason"] and "codex-loop validate --cluster-id c" in rows[0]["reason"]
    assert rows[1]["reason"] == "no verifier: free wording"


def test_a_task_proven_before_keeps_its_proof_while_its_digest_stands(tmp_path):
    datasets = HARBOR_DATASETS.frame([task("c", "a"), task("c", "b")])
    previous = TASK_VALIDATIONS.frame([verdict("c", "a"), verdict("c", "b", digest="sha256:old")])
    rows = validate(datasets, tmp_path, section("distill"), None, "no engine", previous)
    assert rows.select("candidate_id", "status").rows() == [("a", "validated"), ("b", "unvalidated")]


def test_an_empty_funnel_is_all_zero():
    found = funnel(HARBOR_DATASETS.empty(), TASK_VALIDATIONS.empty())
    assert found.signals == 0 and not any(found.reached.values()) and found.reasons == {}
