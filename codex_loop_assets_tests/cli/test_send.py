"""Laws of `send`: nothing leaves without --yes, each change leaves once, what does not hold is kept back, secrets stay home."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from codex_loop_assets.cli import main
from codex_loop_assets.cli.send import withheld
from codex_loop_assets.loop.claims import Finding
from codex_loop_assets.loop.sinks.delivery import Outgoing
from codex_loop_assets.resources import outbox
from codex_loop_assets_tests.cli.conftest import ticket_of
from codex_loop_assets_tests.loop.servers import REPOSITORY, GitHubHandler, SlackHandler, serving


def run(*arguments: str):
    result = CliRunner().invoke(main, ["send", *arguments], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def hub(monkeypatch):
    """A local server of GitHub's protocol that the command finds by the environment, as on GitHub's own runners."""
    with serving(GitHubHandler, issues={}, requests=[], token="local-test") as (url, state):
        monkeypatch.setenv("GITHUB_TOKEN", "local-test")
        monkeypatch.setenv("GITHUB_API_URL", url)
        yield state


def test_an_issue_is_made_with_yes_only_and_once(planted, hub):
    dry = run("--github", REPOSITORY)
    assert dry.exit_code == 0 and "create" in dry.output and "--yes" in dry.output and hub["issues"] == {}
    assert run("--github", REPOSITORY, "--yes").exit_code == 0
    assert ticket_of(planted) in hub["issues"][1]["body"]
    run("--github", REPOSITORY, "--yes")
    assert len(hub["issues"]) == 1


def test_a_webhook_is_told_once_and_its_address_is_kept_nowhere(planted):
    with serving(SlackHandler, messages=[]) as (base, state):
        address = f"{base}/services/T0/B0"
        assert run("--webhook", address).exit_code == 0 and state["messages"] == []
        for _ in range(2):
            result = run("--webhook", address, "--yes")
            assert result.exit_code == 0 and "/services/" not in result.output
        assert len(state["messages"]) == 1 and "1 ticket changed" in state["messages"][0]["text"]
        assert "services" not in (planted.root / "tickets" / "deliveries.jsonl").read_text()
        refused = run("--webhook", f"{base}/elsewhere", "--yes")
        assert refused.exit_code == 1 and "404" in refused.output and "elsewhere" not in refused.output


def test_a_folder_of_markdown_needs_no_network(planted, tmp_path):
    folder = tmp_path / "out"
    assert run("--markdown", str(folder)).exit_code == 0 and not folder.exists()
    run("--markdown", str(folder), "--yes")
    assert {path.name for path in folder.iterdir()} == {"README.md", f"{ticket_of(planted)}.md"}


def test_a_ticket_that_fell_behind_its_tables_is_written_anew_first(planted, tmp_path):
    path = planted.root / planted.lake.read("tickets")["path"].item()
    fresh = path.read_text("utf-8")
    path.write_text("of last week")
    assert "writing 1 ticket(s) anew" in run("--markdown", str(tmp_path / "out"), "--yes").stderr
    assert path.read_text("utf-8") == fresh
    assert "of last week" not in (tmp_path / "out" / path.name).read_text("utf-8")


def test_a_ticket_whose_claims_do_not_hold_is_withheld(planted):
    [ticket] = outbox.opened(planted)
    assert withheld([ticket]) == [] and outbox.stale(planted, [ticket]) == []
    broken = type(ticket)(**{**vars(ticket), "findings": (Finding("C1", "the query gives 3"),)})
    [delivery] = withheld([broken])
    assert (delivery.action, delivery.sent, delivery.detail) == ("withheld", False, "the query gives 3")


def item(status="new", body="text", reason="frequent"):
    return Outgoing("tkt_1", "Problem", body, status, "P1", (), reason)


def test_news_is_what_a_message_would_say_differently():
    told = {"tkt_1": outbox.said(item())}
    assert outbox.news([item()], {}) == [item()]
    assert outbox.news([item(body="one signal more")], told) == []
    assert outbox.news([item("verified")], told) == [item("verified")]
    assert outbox.news([item("verified")], {}) == []


def test_a_status_that_came_back_is_told_again(planted):
    address = "https://hooks.example.org/a"
    for status in ("new", "verified", "new"):
        assert outbox.news([item(status)], outbox.told(planted, address)) == [item(status)]
        outbox.remember(planted, address, [item(status)])
    assert outbox.told(planted, "https://hooks.example.org/b") == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name where to"),
        (["--github", "shop"], "OWNER/REPO"),
        (["--github", REPOSITORY], "GITHUB_TOKEN"),
        (["--webhook", "hooks"], "no http"),
    ],
)
def test_wrong_input_is_a_message_that_says_what_to_do(planted, monkeypatch, arguments, expected):
    for name in ("GITHUB_TOKEN", "CODEX_LOOP_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)
    result = run(*arguments)
    assert result.exit_code == 1 and expected in result.output


def test_a_refusal_of_github_is_a_message(planted, hub, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "other")
    result = run("--github", REPOSITORY, "--yes")
    assert result.exit_code == 1 and "401" in result.output and "Traceback" not in result.output
