"""What the task's container needs, and the files under environment/: Dockerfile, workspace archive, set-up script.

Nothing of a trace is written into a Dockerfile: repository content travels in an archive, commands travel in a script
of quoted words, and the few names that do appear (image, packages, URL, commit) must match strict patterns first.
"""

from __future__ import annotations

import os
import posixpath
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill.render import render
from codex_loop_assets.distill.shell_words import NotSimple, parse
from codex_loop_assets.distill.shell_words import render as shell_line
from codex_loop_assets.distill.tree import Tree, archive

_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_URL = re.compile(r"(https?|git)://[A-Za-z0-9][A-Za-z0-9._~:/%+-]*")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")

BASE_IMAGE_VARIABLE = "CODEX_LOOP_BASE_IMAGE"


class UnsafeName(ValueError):
    """An image, package, URL or commit that may not stand in a Dockerfile."""


@dataclass(frozen=True)
class Environment:
    """How the container is made: `kind` is hermetic, clone or replayed."""

    kind: str
    language: str | None
    base_image: str
    packages: tuple[str, ...]
    setup: tuple[str, ...]
    url: str | None = None
    commit: str | None = None


def base_image(settings: Mapping[str, Any]) -> str:
    """The image to build on: the environment variable CODEX_LOOP_BASE_IMAGE, else the setting. Raises UnsafeName."""
    return _checked(_IMAGE, os.environ.get(BASE_IMAGE_VARIABLE) or settings["base_image"])


def language_of(tree: Tree, touched: Iterable[str], settings: Mapping[str, Any]) -> str | None:
    """Main language: of the most touched files, else of the first manifest found, else None."""
    counts = Counter(
        tool["language"] for path in touched for tool in settings["tools"] if path.endswith(tuple(tool["suffixes"]))
    )
    if counts:
        return max(sorted(counts), key=lambda language: counts[language])
    names = {posixpath.basename(path) for path in tree}
    return next((tool["language"] for tool in settings["tools"] if names & set(tool["manifests"])), None)


def packages(tree: Tree, language: str | None, programs: Iterable[str], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Distribution packages for the language and for the programs that the check and the set-up start."""
    used = set(programs)
    root_files = {path for path in tree if "/" not in path}
    wanted = set(settings["base_packages"])
    for tool in settings["tools"]:
        if tool["language"] == language or used & set(tool["programs"]) or root_files & set(tool["manifests"]):
            wanted |= set(tool["packages"])
    for program in used:
        wanted |= set(settings["program_packages"].get(program, ()))
    return tuple(sorted(_checked(_PACKAGE, name) for name in wanted))


def setup_commands(calls: Iterable[Mapping[str, Any]], tree: Tree, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Set-up lines of bash: the session's successful installations, else what the manifests at the root ask for."""
    found: list[str] = []
    for call in calls:
        if (
            call["name"] == "shell"
            and call["exit_code"] == 0
            and (line := _setup_line(call["command"] or "", settings))
        ):
            found.append(line)
    if not found:
        found = [
            asked
            for name, line in settings["setup"]["from_manifest"].items()
            if name in tree and (asked := _asked_for(name, line, tree[name].data, settings["setup"]["extras"]))
        ]
    return tuple(dict.fromkeys(found))


def _asked_for(manifest: str, line: str, data: bytes, extras: Iterable[str]) -> str | None:
    """The line that installs what a manifest names; None where it names nothing (a pyproject.toml may hold settings of tools only).
    The extras that a pyproject.toml has for its tests are installed too: without its plugins a test runner may not even start."""
    if manifest != "pyproject.toml":
        return line if data.strip() else None
    try:
        project = tomllib.loads(data.decode("utf-8")).get("project")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    if not isinstance(project, dict):
        return None
    optional = project.get("optional-dependencies")
    wanted = [name for name in extras if isinstance(optional, dict) and optional.get(name)]
    if wanted:
        return f"{line[:-1]}'.[{','.join(wanted)}]'" if line.endswith(" .") else line
    return line if project.get("dependencies") else None


def _setup_line(command: str, settings: Mapping[str, Any]) -> str | None:
    try:
        simple = parse(command, ["tail", "head"])
    except NotSimple:
        return None
    # Only a lone command is repeated: what a chain did elsewhere is not a step of set-up.
    if len(simple) != 1 or any(word.startswith(("/", "git+", "http")) or ".." in word for word in simple[0].words):
        return None
    starts = settings["setup"]["commands"]
    return shell_line(simple[0]) if any(f"{simple[0].line} ".startswith(f"{start} ") for start in starts) else None


def safe_url(url: str) -> bool:
    """Whether the address may stand in a Dockerfile."""
    return _URL.fullmatch(url) is not None


def files(environment: Environment, workdir: str, workspace: Tree, patches: Sequence[bytes] = ()) -> dict[str, bytes]:
    """The files under environment/, by path. For a clone, `patches` are what the start differs from the commit by."""
    series = [patch for patch in patches if patch.strip()]
    context = {
        "base_image": _checked(_IMAGE, environment.base_image),
        "packages": [_checked(_PACKAGE, name) for name in environment.packages],
        "workdir": workdir,
        "setup": environment.setup,
        "clone": environment.kind == "clone",
        "url": _checked(_URL, environment.url) if environment.kind == "clone" else None,
        "commit": _checked(_COMMIT, environment.commit) if environment.kind == "clone" else None,
        "patches": [f"start-{number}.patch" for number in range(len(series))],
    }
    result = {"Dockerfile": render("Dockerfile.jinja", context)}
    if environment.setup:
        result["setup.sh"] = render("setup.sh.jinja", context)
    if environment.kind == "clone":
        return result | {f"start-{number}.patch": patch for number, patch in enumerate(series)}
    return result | {"workspace.tar": archive(workspace)}


def _checked(pattern: re.Pattern[str], value: str | None) -> str:
    if not value or not pattern.fullmatch(value):
        raise UnsafeName(f"not safe in a Dockerfile: {value!r}")
    return value
