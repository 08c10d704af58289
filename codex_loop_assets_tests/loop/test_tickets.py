"""Laws of tickets: what they say is in the evidence, what they count can be counted again, and noise opens none."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.loop import claims, life, tickets
from codex_loop_assets.loop.advice import Advice, Suggestion
from codex_loop_assets.loop.evidence import program
from codex_loop_assets.settings import section
from codex_loop_assets_tests.loop import world

SETTINGS = section("tickets")


def build(frames, log=(), today=world.TODAY, **more):
    return tickets.build(world.CLUSTER, frames, list(log), today, **more)


def test_a_ticket_states_problem_evidence_dataset_and_a_specific_approach():
    ticket = build(world.frames())
    assert ticket.findings == ()
    assert ticket.row["status"] == "new" and ticket.row["signal_count"] == 10 and ticket.row["validated_tasks"] == 1
    assert "| cli_version | `0.61.0` | 10 of 10 | 0 of 20 |" in ticket.markdown
    assert "codex-loop validate --cluster-id clu_pytest" in ticket.markdown
    assert "harbor run -p" in ticket.markdown
    assert "`ModuleNotFoundError: No module named 'pytest_asyncio'`" in ticket.advice.suggestions[0].text
    assert world.thread(1) in ticket.markdown and "call `call_1_5`" in ticket.markdown


def test_errors_that_differ_in_a_number_are_one_error():
    frames = world.frames()
    port = pl.lit("Error: listen EADDRINUSE: address already in use :::") + (pl.int_range(pl.len()) % 7 + 3000).cast(
        pl.String
    )
    frames["tool_calls"] = frames["tool_calls"].with_columns(output=port)
    frames["signals"] = frames["signals"].with_columns(evidence=pl.lit("[]"))
    ticket = build(frames)
    assert ticket.findings == ()
    assert (
        "20 of 20 failing calls end in `Error: listen EADDRINUSE: address already in use`"
        in ticket.advice.suggestions[0].text
    )


def test_a_ticket_keeps_the_title_it_was_opened_with():
    frames = world.frames()
    first = build(frames)
    assert first.row["title"] == f"pytest fails: {world.ERROR}"
    frames["clusters"] = frames["clusters"].with_columns(top_category=pl.lit("correction"), label=pl.lit("renamed"))
    assert build(frames, first.events).row["title"] == first.row["title"]


def test_people_s_words_are_in_the_title_beside_the_message_where_more_of_the_sessions_share_them():
    frames = world.frames()
    said = pl.lit("stop the server you left")
    frames["turns"] = frames["turns"].with_columns(user_message=said)
    frames["tool_calls"] = frames["tool_calls"].with_columns(output=pl.lit("ok"))
    frames["clusters"] = frames["clusters"].with_columns(
        top_category=pl.lit("correction"), terms=pl.lit(["server", "background"], pl.List(pl.String))
    )

    def titled(judged):
        where = pl.int_range(pl.len()) >= pl.len() - judged
        detector = pl.when(where).then(pl.lit("local_judge")).otherwise(pl.lit("mechanical"))
        friction = pl.col("type") == "friction"
        changed = frames["signals"].filter(friction).with_columns(detector=detector)
        return build(frames | {"signals": changed}, force=True).title

    assert titled(6) == f"People correct the agent: “stop the server you left” ({world.ERROR})"
    assert titled(0) == f"People correct the agent: {world.ERROR}"


def test_advice_that_fits_any_category_is_given_only_where_none_of_its_own_does():
    general = section("tickets")["approach"]["any"][0].split("}")[-1]
    frames = world.frames()
    assert not any(general in suggestion.text for suggestion in build(frames).advice.suggestions)
    frames["clusters"] = frames["clusters"].with_columns(top_category=pl.lit("plan_update_churn"))
    assert any(general in suggestion.text for suggestion in build(frames).advice.suggestions)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("cd app && git push origin main", "git push"),
        ("python -m build --wheel", "python -m build"),
        ("python - <<'EOF'", "python"),
        ("git -C sub pull", "git"),
        ("timeout 60 pytest -q tests", "pytest"),
        ("", None),
    ],
)
def test_a_program_is_named_with_its_subcommand_and_without_its_options(command, name):
    assert program(command, SETTINGS["facts"]) == name


def test_a_ticket_without_a_task_says_why_there_is_none():
    frames = world.frames()
    lost = [world.lost_candidate() | {"candidate_id": f"cand_{number}"} for number in (3, 4)]
    frames["harbor_datasets"] = world.TABLES["harbor_datasets"].frame(lost)
    ticket = build(frames)
    assert ticket.findings == () and "no command failed before and passed after (2 ([" in ticket.markdown
    more = frames | {"harbor_datasets": frames["harbor_datasets"].head(1)}
    assert claims.run(ticket.claims, more)


def test_a_pattern_for_evaluations_opens_a_ticket_once_a_task_is_there():
    frames = world.frames()
    frames["clusters"] = frames["clusters"].with_columns(action=pl.lit("expand_eval_coverage"))
    assert build(frames).row["status"] == "new"
    assert build(frames | {"harbor_datasets": frames["harbor_datasets"].clear()}).row["status"] == "not_opened"


def test_the_labels_of_people_outrank_planted_ones():
    frames = world.frames()
    reviewed = world.score("exec_failure", 0.3, False) | {"truth": "reviewed"}
    frames["scorecard"] = world.TABLES["scorecard"].frame([world.score("exec_failure", 0.95, True), reviewed])
    assert build(frames).row["status"] == "not_opened"
    few = reviewed | {"true_positives": 1, "false_positives": 2}
    frames["scorecard"] = world.TABLES["scorecard"].frame([world.score("exec_failure", 0.95, True), few])
    assert build(frames).row["status"] == "new"


def test_every_claim_is_reproduced_by_its_query():
    frames = world.frames()
    ticket = build(frames)
    assert len(ticket.claims) > 8
    assert claims.run(ticket.claims, frames) == []


@pytest.mark.parametrize("table", ["signals", "sessions", "tool_calls"])
def test_a_ticket_does_not_stand_on_half_its_evidence(table):
    frames = world.frames()
    ticket = build(frames)
    halved = frames | {table: frames[table][::2]}
    assert claims.check(ticket.claims, ticket.advice, halved, SETTINGS)
    assert build(halved).markdown != ticket.markdown


def test_a_claim_can_reach_no_file(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    claim = claims.Claim("C1", "x", f"SELECT count(*) FROM read_csv('{secret}')", 1)
    [finding] = claims.run([claim], {})
    assert "the query fails" in finding.message


def test_generic_advice_is_rejected():
    ticket = build(world.frames())
    fact = ticket.advice.suggestions[0].facts
    generic = Advice((Suggestion("Improve error handling and follow best practices.", fact, ("C1",)),), "some model")
    problems = [finding.message for finding in claims.check(ticket.claims, generic, world.frames(), SETTINGS)]
    assert any("generic words" in problem for problem in problems)
    assert any("no fact of the evidence" in problem for problem in problems)
    assert claims.check(ticket.claims, Advice((), "templates"), world.frames(), SETTINGS)


def test_advice_may_not_lean_on_a_claim_that_does_not_exist():
    ticket = build(world.frames())
    suggestion = ticket.advice.suggestions[0]
    dangling = Advice((Suggestion(suggestion.text, suggestion.facts, ("C99",)),), "some model")
    assert [f.claim_id for f in claims.check(ticket.claims, dangling, world.frames(), SETTINGS)] == ["C99"]


def test_few_sessions_open_no_ticket_and_the_row_says_why():
    ticket = build(world.frames(affected=2))
    assert ticket.row["status"] == "not_opened" and "needs 4 in 3" in ticket.row["reason"]
    assert ticket.events == ()


def test_a_person_can_ask_for_a_ticket_that_the_thresholds_would_not_open():
    assert build(world.frames(affected=2), force=True).row["status"] == "new"


def test_a_detector_below_its_bar_opens_no_ticket():
    frames = world.frames()
    frames["scorecard"] = frames["scorecard"].with_columns(above_bar=pl.lit(False))
    assert build(frames).row["status"] == "not_opened"


def test_delight_opens_no_ticket():
    frames = world.frames()
    frames["clusters"] = frames["clusters"].with_columns(type=pl.lit("delight"))
    assert build(frames).row["status"] == "not_opened"


def test_the_same_problem_updates_its_ticket():
    first = build(world.frames())
    second = build(world.frames(), first.events)
    assert second.row["ticket_id"] == first.row["ticket_id"]
    assert second.events == () and second.markdown == first.markdown


def test_people_who_only_complain_open_no_ticket():
    frames = world.frames()
    frames["signals"] = frames["signals"].with_columns(detector=pl.lit("local_judge"), category=pl.lit("correction"))
    ticket = build(frames)
    assert ticket.row["status"] == "not_opened" and ticket.row["reason"].startswith("only words")


def test_sessions_that_share_nothing_concrete_open_no_ticket():
    frames = world.frames()
    number = pl.int_range(pl.len()).cast(pl.String)
    frames["tool_calls"] = frames["tool_calls"].with_columns(
        output="error" + number + " of kind" + number, paths=pl.concat_list(number + ".py")
    )
    frames["signals"] = frames["signals"].with_columns(evidence=pl.lit("[]"))
    ticket = build(frames)
    assert ticket.row["status"] == "not_opened" and "share no message" in ticket.row["reason"]


def beside_another(frames, other="clu_words"):
    """The same moments once more, found by a judge and in a cluster of their own."""
    told = (
        frames["signals"]
        .filter(pl.col("type") == "friction")
        .with_columns(
            signal_id="w" + pl.col("signal_id"), category=pl.lit("correction"), detector=pl.lit("local_judge")
        )
    )
    members = (
        frames["cluster_members"]
        .filter(pl.col("cluster_id") == world.CLUSTER)
        .with_columns(signal_id="w" + pl.col("signal_id"), cluster_id=pl.lit(other))
    )
    row = {"cluster_id": other, "heir_id": other, "lineage_root": other}
    registry = world.TABLES["cluster_registry"].frame(
        [world.registry_row(world.TODAY, 10), world.registry_row(world.TODAY, 10) | row]
    )
    return frames | {
        "signals": pl.concat([frames["signals"], told]),
        "cluster_members": pl.concat([frames["cluster_members"], members]),
        "cluster_registry": registry,
        "clusters": pl.concat([frames["clusters"], frames["clusters"].with_columns(cluster_id=pl.lit(other))]),
    }


def test_two_patterns_that_stand_side_by_side_are_one_ticket():
    frames = beside_another(world.frames())
    first = build(frames)
    assert "Also seen as cluster `clu_words`" in first.markdown
    second = tickets.build("clu_words", frames, first.events, world.TODAY)
    assert second.row["status"] == "not_opened" and second.events == ()


def test_two_tickets_found_to_be_one_problem_become_the_older_one():
    apart = world.frames()
    first = build(apart, today=world.TODAY)
    later = world.TODAY + timedelta(days=1)
    frames = beside_another(apart)
    alone = frames | {"cluster_members": frames["cluster_members"].filter(pl.col("cluster_id") == "clu_words")}
    younger = tickets.build("clu_words", alone, [], later, force=True)
    log = [*first.events, *younger.events]
    merged = tickets.build("clu_words", frames, log, later)
    assert merged.row["status"] == "merged" and first.row["ticket_id"] in merged.row["reason"]
    assert build(frames, [*log, *merged.events], today=later).row["status"] == "new"


def test_a_ticket_whose_cause_went_elsewhere_is_named_anew():
    first = build(world.frames())
    frames = world.frames()
    other = "fatal: could not read from remote repository"
    frames["tool_calls"] = frames["tool_calls"].with_columns(output=pl.lit(other), command=pl.lit("git fetch"))
    frames["signals"] = frames["signals"].with_columns(evidence=pl.lit("[]"))
    again = build(frames, first.events)
    assert [event.kind for event in again.events] == ["retitled"]
    assert again.row["title"] == f"git fetch fails: {other}" and again.row["ticket_id"] == first.row["ticket_id"]


def test_an_unknown_cluster_is_an_error():
    with pytest.raises(KeyError, match="clu_nowhere"):
        tickets.build("clu_nowhere", world.frames(), [], world.TODAY)


def test_a_dissolved_cluster_leaves_its_lineages_ticket_to_the_live_one():
    frames = world.frames()
    opened = build(frames)
    frames["clusters"] = frames["clusters"].with_columns(status=pl.lit("dissolved"))
    own = world.registry_row(world.TODAY, 0) | {"status": "dissolved"}
    part = world.registry_row(world.TODAY, 9) | {"cluster_id": "clu_part", "heir_id": "clu_part"}
    registry = world.TABLES["cluster_registry"]
    assert build(frames | {"cluster_registry": registry.frame([own, part])}, opened.events).frame.height == 0
    assert build(frames | {"cluster_registry": registry.frame([own])}, opened.events).row["status"] == "new"


def test_a_merged_cluster_closes_its_own_ticket_and_leaves_a_shared_one_to_the_heir():
    frames = world.frames()
    opened = build(frames)
    frames["clusters"] = frames["clusters"].with_columns(status=pl.lit("merged"), merged_into=pl.lit("clu_heir"))
    heir = world.registry_row(world.TODAY, 20) | {"cluster_id": "clu_heir", "heir_id": "clu_heir"}
    own = world.registry_row(world.TODAY, 10) | {"heir_id": "clu_heir", "status": "merged"}
    registry = world.TABLES["cluster_registry"]
    apart = frames | {"cluster_registry": registry.frame([own, heir | {"lineage_root": "clu_heir"}])}
    merged = build(apart, opened.events, today=world.TODAY + timedelta(days=1))
    assert merged.row["status"] == "merged" and life.ticket_id("clu_heir") in merged.row["reason"]
    shared = frames | {"cluster_registry": registry.frame([own, heir])}
    assert build(shared, opened.events).frame.height == 0


@settings(max_examples=12, deadline=None)
@given(st.text(max_size=60))
def test_trace_text_never_breaks_out_of_the_markdown(text):
    frames = world.frames(affected=4)
    hostile = f"{text}\n# Heading\n```\n</details>@admin"
    frames["turns"] = frames["turns"].with_columns(user_message=pl.lit(hostile))
    frames["clusters"] = frames["clusters"].with_columns(label=pl.lit(hostile), description=pl.lit(hostile))
    markdown = build(frames).markdown
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    headings = [
        tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"
    ]
    assert headings == [
        "Problem",
        "Who is affected",
        "Reproduction",
        "Evidence",
        "Dataset and validation",
        "Suggested approach",
        "History",
        "Queries",
    ]
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in tokens) == 1
    inline = [child for token in tokens for child in token.children or []]
    assert not any(token.type in ("html_block", "html_inline", "image") for token in [*tokens, *inline])
    assert all(token.attrGet("href").startswith("#c") for token in inline if token.type == "link_open")


def test_a_secret_in_the_trace_stays_home():
    secret = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"
    frames = world.frames()
    frames["turns"] = frames["turns"].with_columns(user_message=pl.lit(f"push with {secret} please"))
    frames["tool_calls"] = frames["tool_calls"].with_columns(
        command=pl.lit(f"curl -H token:{secret} host"), output=pl.lit(f"error: {secret} is invalid")
    )
    ticket = build(frames)
    assert secret not in ticket.markdown
    assert all(secret not in claim.sql for claim in ticket.claims)
