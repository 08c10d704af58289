"""Laws of sinks: dry by default, once for each change, found again by their marker, and redacted on the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codex_loop_assets.loop import tickets
from codex_loop_assets.loop.sinks import github, markdown, webhook
from codex_loop_assets.loop.sinks.delivery import Outgoing, outgoing
from codex_loop_assets_tests.loop import world
from codex_loop_assets_tests.loop.servers import REPOSITORY, GitHubHandler, SlackHandler, serving

TOKEN = "local-test"


def ticket(number=1, status="new", **more):
    fields = {
        "ticket_id": f"tkt_{number:012x}", "title": f"Problem {number}", "body": "# Problem\n\ntext\n",
        "status": status,
        "priority": "P1", "labels": ("codex-loop",), "reason": "frequent",
    }  # fmt: skip
    return Outgoing(**fields | more)


@pytest.fixture
def hub():
    with serving(GitHubHandler, issues={}, requests=[], token=TOKEN) as (url, state):
        target = github.GitHubTarget(REPOSITORY, TOKEN, base_url=url, seconds_between_writes=0)
        yield target, state


def writes(state):
    return [request for request in state["requests"] if request[0] != "GET"]


def actions(deliveries):
    return [delivery.action for delivery in deliveries]


def test_nothing_is_written_unless_asked_for(hub):
    target, state = hub
    [delivery] = github.deliver([ticket()], target)
    assert delivery.action == "create" and not delivery.sent and writes(state) == []


def test_a_ticket_has_one_issue_however_often_it_is_delivered(hub):
    target, state = hub
    many = [ticket(number) for number in range(1, 6)]
    assert actions(github.deliver(many, target, dry_run=False)) == ["create"] * 5
    assert actions(github.deliver(many, target, dry_run=False)) == ["none"] * 5
    assert len(state["issues"]) == 5 and len(writes(state)) == 5


def test_an_issue_follows_its_ticket_through_proof_and_return(hub):
    target, state = hub
    for status, action, issue_state in [
        ("new", "create", "open"),
        ("fixing", "update", "open"),
        ("verified", "close", "closed"),
        ("regressed", "reopen", "open"),
    ]:
        assert actions(github.deliver([ticket(status=status)], target, dry_run=False)) == [action]
        assert state["issues"][1]["state"] == issue_state
    assert len(state["issues"]) == 1


def test_an_issue_closed_by_hand_stays_closed_until_the_problem_returns(hub):
    target, state = hub
    github.deliver([ticket()], target, dry_run=False)
    state["issues"][1]["state"] = "closed"
    github.deliver([ticket(body="more\n")], target, dry_run=False)
    assert state["issues"][1]["state"] == "closed"


def test_an_issue_opened_again_by_hand_stays_open(hub):
    target, state = hub
    github.deliver([ticket()], target, dry_run=False)
    github.deliver([ticket(status="verified")], target, dry_run=False)
    state["issues"][1]["state"] = "open"
    assert actions(github.deliver([ticket(status="verified")], target, dry_run=False)) == ["none"]
    github.deliver([ticket(status="verified", body="more\n")], target, dry_run=False)
    assert state["issues"][1]["state"] == "open"


def test_an_ignored_tickets_issue_opens_again_when_its_day_has_come(hub):
    target, state = hub
    github.deliver([ticket()], target, dry_run=False)
    assert actions(github.deliver([ticket(status="ignored")], target, dry_run=False)) == ["close"]
    assert actions(github.deliver([ticket(status="ignored")], target, dry_run=False)) == ["none"]
    assert actions(github.deliver([ticket(status="new")], target, dry_run=False)) == ["reopen"]
    assert state["issues"][1]["state"] == "open" and len(state["issues"]) == 1


def test_a_title_that_a_person_gave_stays_and_a_tickets_own_follows_the_ticket(hub):
    target, state = hub
    github.deliver([ticket()], target, dry_run=False)
    github.deliver([ticket(title="Better words")], target, dry_run=False)
    assert state["issues"][1]["title"] == "Better words"
    state["issues"][1]["title"] = "what we call it"
    github.deliver([ticket(body="more\n")], target, dry_run=False)
    assert state["issues"][1]["title"] == "what we call it" and "more" in state["issues"][1]["body"]


def test_labels_and_titles_that_people_gave_do_not_hide_an_issue(hub):
    target, state = hub
    github.deliver([ticket()], target, dry_run=False)
    state["issues"][1]["title"] = "renamed"
    state["issues"][1]["labels"].append({"name": "team-a"})
    github.deliver([ticket(body="more\n")], target, dry_run=False)
    assert len(state["issues"]) == 1
    assert {label["name"] for label in state["issues"][1]["labels"]} == {"codex-loop", "team-a"}


def test_a_closed_ticket_without_an_issue_opens_none(hub):
    target, state = hub
    assert actions(github.deliver([ticket(status="verified")], target, dry_run=False)) == ["none"]
    assert state["issues"] == {}


def test_a_body_beyond_the_limit_loses_its_queries_first(hub):
    target, state = hub
    github.deliver([ticket(body="words\n" + "\n## Queries\n" + "x" * 70_000)], target, dry_run=False)
    assert state["issues"][1]["body"].startswith("words") and "x" * 100 not in state["issues"][1]["body"]


def test_a_bad_token_is_an_error_not_a_silent_success(hub):
    import github as client

    target, _ = hub
    with pytest.raises(client.BadCredentialsException):
        github.deliver([ticket()], replace(target, token="other"), dry_run=False)


def test_the_digest_is_posted_once():
    message = webhook.digest([ticket(), ticket(2)], world.TODAY)
    with serving(SlackHandler, messages=[]) as (url, state):
        first = webhook.deliver(message, f"{url}/services/T0/B0", dry_run=False)
        again = webhook.deliver(message, f"{url}/services/T0/B0", [first.detail], dry_run=False)
        assert first.sent and not again.sent and len(state["messages"]) == 1
        assert state["messages"][0]["text"] == "codex-loop, 2026-03-14: 2 tickets changed"


def test_a_webhook_is_dry_by_default_and_refusals_hide_its_url():
    import httpx

    message = webhook.digest([ticket()], world.TODAY)
    with serving(SlackHandler, messages=[]) as (url, state):
        assert not webhook.deliver(message, f"{url}/services/T0").sent and state["messages"] == []
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            webhook.deliver(message, f"{url}/hidden/path", dry_run=False)
        assert "hidden" not in str(refusal.value) and "404" in str(refusal.value)


def test_a_title_can_neither_link_nor_call_a_channel():
    message = webhook.digest([ticket(title="<!channel> & <https://x|y>")], world.TODAY)
    assert "<!channel>" not in str(message) and "&lt;!channel&gt; &amp;" in str(message)


def test_fifty_tickets_fit_into_one_message():
    message = webhook.digest([ticket(number, reason="r" * 5000) for number in range(60)], world.TODAY)
    with serving(SlackHandler, messages=[]) as (url, state):
        webhook.deliver(message, f"{url}/services/T0", dry_run=False)
        assert len(state["messages"]) == 1 and "20 more" in str(message)


def test_no_digest_without_a_change():
    assert webhook.digest([], world.TODAY) is None
    assert webhook.deliver(None, "https://hooks.example.org/services/x").action == "none"


def test_a_built_ticket_leaves_redacted_and_unchanged_otherwise():
    built = tickets.build(world.CLUSTER, world.frames(), [], world.TODAY)
    sent = outgoing(built)
    assert sent.body == built.markdown and sent.status == "new"
    secret = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"
    assert secret not in outgoing(replace(built, markdown=f"x {secret}")).body


def test_a_rejected_ticket_is_not_sent():
    frames = world.frames()
    lost = {name: frames[name].clear() for name in ("turns", "tool_calls")}
    built = tickets.build(world.CLUSTER, frames | lost, [], world.TODAY)
    assert built.findings and outgoing(built) is None


def test_markdown_files_list_open_tickets_first():
    pages = markdown.files([ticket(1, "verified"), ticket(2, "new"), ticket(3, "regressed", title="a | b")])
    order = [line for line in pages["README.md"].splitlines() if "tkt_" in line]
    assert ["regressed" in order[0], "new" in order[1], "verified" in order[2]] == [True] * 3
    assert r"a \| b" in order[0] and len(pages) == 4
