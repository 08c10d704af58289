"""The `codex-loop` command. One file per group of commands; a command that produces data materialises assets.

Commands are found by name and loaded only when they run, because Dagster alone takes seconds to import.
"""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "init": "setup",
    "ui": "setup",
    "doctor": "doctor",
    "forget": "forget",
    "ingest": "pipeline",
    "signals": "pipeline",
    "cluster": "pipeline",
    "daily": "pipeline",
    "report": "report",
    "scorecard": "scorecard",
    "judge-estimate": "judging",
    "distill": "tasks",
    "validate": "tasks",
    "measure": "measure",
    "ingest-job": "measure",
    "trends": "trends",
    "trace": "trace",
    "ticket": "tickets",
    "verify": "verify",
    "review": "review",
    "send": "send",
    "schema-proposals": "schema",
    "schema-approve": "schema",
    "schema-reject": "schema",
    "schema-auto-promote": "schema",
    "schema-retire": "schema",
    "schema-categories": "schema",
    "schema-export": "schema",
}


class LazyGroup(click.Group):
    """A group whose commands live in `codex_loop_assets.cli.<module>` as functions named like the command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        return getattr(import_module(f"codex_loop_assets.cli.{module}"), cmd_name.replace("-", "_"))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="codex-loop-assets")
def main() -> None:
    """Turn Codex sessions into proven improvements."""
