"""The law of the one outlet: a secret in any text field of a session comes out nowhere, whoever asks and whatever fails.

Seven sessions hold an access token of its own in every text field that Codex writes, and go through the whole daily work with
a model at hand. The tables that keep Codex's records as they are may hold them, and nothing else may.
"""

from __future__ import annotations

import ast
import json
import logging
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

import codex_loop_assets
from codex_loop_assets import clock
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.cli import COMMANDS, main
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.homes import VARIABLE, Home
from codex_loop_assets.signals.redaction import RedactedError
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.canary import occurrences, secrets, spine_session
from codex_loop_assets_tests.conftest import write_rollout
from codex_loop_assets_tests.loop.servers import REPOSITORY, GitHubHandler, SlackHandler, serving
from codex_loop_assets_tests.openai_server import OpenAiServer
from codex_loop_assets_tests.openai_server.model import phrase_model

RAW = ("spines", "events", "sessions", "turns", "tool_calls")
"""Tables of Codex's own words; what is made of them is redacted."""
THREADS = [f"019c0000-0000-7000-8000-0000000009{n:02d}" for n in range(7)]
DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]
SECRETS = secrets("outlets")
MODEL = phrase_model({"no, that is wrong": "correction", "still fails": "repeated_rephrasing"})


def leaked(text: str) -> list[str]:
    """Fields whose secret is in a text. A part of a secret is a secret, so half of one is looked for."""
    return [field for field, secret in SECRETS.items() if secret[:20] in text]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(home, Codex home, the model's server, what the daily run printed)."""
    root = tmp_path_factory.mktemp("outlets")
    home, codex = Home(root / "home"), root / "codex"
    with pytest.MonkeyPatch.context() as patch, OpenAiServer(MODEL) as server:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        patch.setenv(VARIABLE, str(home.root))
        patch.setenv("DAGSTER_HOME", str(home.dagster_home))
        patch.setenv(clock.VARIABLE, "2026-03-10T00:00:00+00:00")
        patch.setenv("CODEX_LOOP_HARBOR", str(root / "no-harbor"))
        patch.setenv("COLUMNS", "4000")
        for number, thread in enumerate(THREADS):
            spine_session(codex, thread, SECRETS, DAYS[number % 3])
        for number in range(1, 4):  # Others, so that something is told apart by what it was run with.
            write_rollout(codex, DAYS[1], number, ["add a flag", "thanks, that is great"])
        printed = CliRunner().invoke(main, ["daily", "--home", str(home.root), "--codex-home", str(codex)])
        assert printed.exit_code == 0, printed.output
        yield home, codex, server, printed.output


def run(world, *arguments: str, code: int | None = 0) -> str:
    result = CliRunner().invoke(main, [*arguments, "--home", str(world[0].root)])
    assert code is None or result.exit_code == code, result.output
    return result.output


def test_the_secrets_are_there_to_be_hidden(world):
    home = world[0]
    raw = "".join(str(home.lake.read(table).to_dicts()) for table in RAW)
    assert len(leaked(raw)) > 50
    assert home.lake.read("signals").height > 20 and home.lake.read("cluster_registry").height
    assert home.lake.read("tickets").height and home.lake.read("harbor_datasets").height


def test_no_file_of_the_home_but_the_raw_tables_holds_one(world):
    """Reports, site, tickets, tasks, vectors, caches, journals of the model, Dagster's databases and logs."""
    home = world[0]
    raw = tuple(f"lake/{table}/" for table in RAW)
    found = occurrences(home.root, next(iter(SECRETS.values()))[:4])
    assert {path: leaked(" ".join(words)) for path, words in found.items() if not path.startswith(raw)} == {}


def test_no_request_to_a_model_holds_one(world):
    server = world[2]
    assert server.count("POST", "/v1/responses") and server.count("POST", "/v1/embeddings")
    assert leaked(b"\n".join(server.received).decode()) == []


def test_no_command_prints_one(world):
    home, printed = world[0], world[3]
    ticket = home.lake.read("tickets")["ticket_id"][0]
    cluster = home.lake.read("cluster_registry")["cluster_id"][0]
    signal = home.lake.read("signals")["signal_id"][0]
    out = home.root.parent / "printed"
    out.mkdir()
    said = [
        printed,
        run(world, "doctor"),
        run(world, "ingest", "--day", DAYS[0]),
        run(world, "signals", "--day", DAYS[0]),
        run(world, "cluster", "--day", DAYS[2]),
        run(world, "report", "--day", DAYS[0]),
        run(world, "review", "--list"),
        run(world, "review", code=None),
        run(world, "schema-proposals", "--all"),
        run(world, "schema-categories"),
        run(world, "scorecard"),
        run(world, "judge-estimate"),
        run(world, "schema-export", "--output", str(out / "schema.json")),
        run(world, "schema-auto-promote", "--confidence", "0"),
        *(
            run(world, "trends", *by)
            for by in ((), ("--by", "model"), ("--by", "cli_version"), ("--cluster-id", cluster))
        ),
        run(world, "ticket", "--cluster-id", cluster, code=None),
        run(world, "verify", ticket, code=None),
        run(world, "distill", "--signal-id", signal, "--output", str(out / "one"), code=None),
        run(world, "distill", "--cluster-id", cluster, "--output", str(out / "set"), code=None),
        run(world, "validate", "--cluster-id", cluster, code=None),
    ]
    assert leaked("\n".join(said)) == []
    assert leaked("".join(path.read_text("utf-8") for path in out.rglob("*") if path.is_file())) == []


def test_no_ticket_that_is_sent_out_holds_one(world, monkeypatch):
    """GitHub's bodies, the webhook's message, the folder of Markdown, and what is shown of them."""
    folder = world[0].root.parent / "sent"
    monkeypatch.setenv("GITHUB_TOKEN", "local-test")
    with (
        serving(GitHubHandler, issues={}, requests=[], token="local-test") as (hub, issues),
        serving(SlackHandler, messages=[]) as (slack, posted),
    ):
        monkeypatch.setenv("GITHUB_API_URL", hub)
        places = ["--github", REPOSITORY, "--webhook", f"{slack}/services/T0/B0", "--markdown", str(folder)]
        shown = run(world, "send", *places)
        sent = run(world, "send", *places, "--yes")
    written = "".join(path.read_text("utf-8") for path in folder.rglob("*.md"))
    assert issues["issues"] and posted["messages"] and written
    assert leaked(shown + sent + written + json.dumps([issues["issues"], posted["messages"]])) == []


@pytest.mark.parametrize("version", ["v1.4", "v1.7"])
def test_no_trajectory_and_no_task_made_of_a_bundle_holds_one(world, version, tmp_path):
    thread = THREADS[0]
    bundle, trajectory, task = (str(tmp_path / name) for name in ("bundle", "atif", "task"))
    run(world, "trace", "bundle", "--session-id", thread, "--output", bundle)
    said = CliRunner().invoke(
        main, ["trace", "atif", "--bundle", bundle, "--output", trajectory, "--schema-version", version]
    )
    assert said.exit_code == 0, said.output
    turns = world[0].lake.read("turns").filter(thread_id=thread)
    ends = ["--start-seq", str(turns["seq_start"].min()), "--end-seq", str(turns["seq_end"].max())]
    told = run(world, "trace", "distill", "--bundle", bundle, "--output", task, *ends, code=None)
    files = [path for folder in (trajectory, task) for path in Path(folder).rglob("*") if path.is_file()]
    assert len(files) >= 1
    assert leaked(said.output + told + "".join(path.read_text("utf-8") for path in files)) == []


def test_every_command_was_asked_or_prints_nothing_of_a_session():
    """A command that is new here must say where its words come from."""
    asked = {
        "daily", "doctor", "ingest", "signals", "cluster", "report", "review", "schema-proposals", "schema-categories", "send",
        "schema-export", "schema-auto-promote", "trends", "ticket", "verify", "distill", "validate", "trace",
        "scorecard", "judge-estimate",
    }  # fmt: skip
    silent = {"init", "ui", "forget", "measure", "ingest-job", "schema-approve", "schema-reject", "schema-retire"}
    assert set(COMMANDS) == asked | silent


class Foreign(Exception):
    """As the exceptions of compiled libraries: its message is not among its arguments."""

    def __str__(self) -> str:
        return f"row {SECRETS['output']} is malformed"


def failures() -> list[Exception]:
    secret = SECRETS["error"]
    chained = ValueError("cannot go on")
    chained.__cause__ = KeyError(secret)
    within = ValueError("cannot go on")
    within.__context__ = OSError(2, "no such file", f"/tmp/{secret}")
    noted = ValueError("cannot go on")
    noted.add_note(f"while reading {secret}")
    group = ExceptionGroup("two failed", [ValueError(secret), TypeError("other")])
    return [
        ValueError(f"cannot read {secret}"),
        Foreign(),
        chained,
        within,
        noted,
        group,
        dg.Failure(f"refused {secret}"),
    ]


@pytest.mark.parametrize("number", range(7))
def test_what_dagster_keeps_of_a_failure_says_its_kind_and_no_secret(world, number, monkeypatch, caplog):
    """An asset of the graph fails, with a message that quotes what it failed on."""
    home, error = world[0], failures()[number]

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(Home, "section", fails)
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception, match="failed") as raised:
        materialise(home, ["mechanical_signals"], days=[DAYS[0]])
    assert leaked(str(raised.value) + caplog.text) == []
    with dg.DagsterInstance.get() as instance:
        run_id = instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)[0].run_id
        kept = "".join(str(entry) for entry in instance.all_logs(run_id))
    assert type(error).__name__ in kept or "refused" in kept
    assert leaked(kept) == []


def test_an_exception_without_a_secret_is_raised_as_it_is():
    error = KeyError("cluster_1")

    @guarded
    def fails():
        raise error

    with pytest.raises(KeyError) as raised:
        fails()
    assert raised.value is error


def test_a_guarded_generator_gives_what_it_gave_and_hides_what_it_raises():
    @guarded
    def gives():
        yield 1
        raise ValueError(SECRETS["error"])

    running = gives()
    assert next(running) == 1
    with pytest.raises(RedactedError, match=r"ValueError: \[secret:") as raised:
        next(running)
    assert raised.value.__cause__ is None and raised.value.__context__ is None


def test_everything_that_dagster_calls_is_guarded():
    """A function under a decorator of Dagster's that takes a context, without the guard below it."""
    bare = []
    for path in Path(codex_loop_assets.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.args.args and node.args.args[0].arg == "context":
                names = [ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list]
                if any(name.startswith("dg.") for name in names) and names[-1] != "guarded":
                    bare.append(f"{path.name}:{node.name}")
    assert bare == []


def test_every_table_is_raw_or_redacted():
    assert set(RAW) < set(TABLES)
