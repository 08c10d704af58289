"""Where a segment begins: the files as the user had them, from the session's commit, its starting diff and the patches
before.

What belongs here: choosing and reading the starting state, redaction of it. What the segment then did to it is
`candidate`'s business.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codex_loop_assets.distill import repository
from codex_loop_assets.distill.environment import safe_url
from codex_loop_assets.distill.replay import ReplayError, Step, replay, root_of
from codex_loop_assets.distill.segment import Row, Segment
from codex_loop_assets.distill.trace_files import known_files
from codex_loop_assets.distill.tree import Entry, Tree, safe_path, size

# `ssh://git@host/path`, `git@host:path`, and the latter as the tables hold it: without the user.
_SCP = re.compile(
    r"(?:ssh://(?:git@)?(?P<at>[^:/@\s]+)/|(?:git@)?(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+):)(?P<path>[^/\s]\S*)"
)
_HIDDEN_ADDRESS = re.compile(r"\[secret:email:([0-9a-f]+)\]")

Redact = Callable[[str, str], str]


class NoStart(ValueError):
    """The starting state cannot be had; the message says why."""


@dataclass(frozen=True)
class Start:
    """The starting state: `root` is where the repository stood in the session, `commit` what it was based on.

    For a clone, `tree` and `first` (the same files when the session began) hold only what the trace shows of it.
    """

    kind: str
    tree: Tree
    root: str
    commit: str | None
    starting_diff: bytes = b""
    url: str | None = None
    first: Tree = field(default_factory=dict)


def hermetic(
    session: Row,
    segment: Segment,
    steps: list[Step],
    source: Path,
    diff: bytes,
    carried: Callable[[], list[Step]],
    calls: list[Row],
    store: repository.Store,
    settings: Mapping[str, Any],
) -> Start:
    """The start from a local Git directory. Raises NoStart, RepositoryError or ReplayError.

    `carried` gives the edits of earlier sessions in the same directory on the same commit. A rollout does not record
    what was uncommitted at its start: where the session's own edits do not fit the commit, those may be what is
    missing, or what the session's `calls` show of the edited files before it edits them.
    """
    commit = session["base_sha"] if diff.strip() and session["base_sha"] else session["commit_hash"]
    if not commit:
        raise NoStart("the session records no commit")
    if not session["cwd"]:
        raise NoStart("the session records no working directory")
    tree: Tree = repository.read_commit(source, commit)
    if size(tree) > settings["environment"]["maximum_tree_bytes"]:
        raise NoStart(f"the repository holds more than {settings['environment']['maximum_tree_bytes']} bytes")
    if diff.strip():
        tree = store.apply(tree, diff)
    root = root_of(session["cwd"], steps, tree)
    before = [step for step in steps if step.at < segment.start]
    edits = [step for step in steps if step.at <= segment.end]
    try:
        replay(tree, edits, root)
    except ReplayError as misfit:
        left = [] if diff.strip() else carried()
        known = known_files(calls, steps, segment.start, segment.end, root).first
        tree = _with_uncommitted(tree, edits, root, left, known, misfit)
    return Start("hermetic", replay(tree, before, root), root, commit, diff)


def _with_uncommitted(
    tree: Tree, edits: list[Step], root: str, left: list[Step], known: Tree, misfit: ReplayError
) -> Tree:
    """The commit's tree with what was uncommitted when the session began: the first state that all its edits fit. Raises `misfit`
    where none does."""
    edited = {path for step in edits for path in step.paths}
    shown = {path: entry for path, entry in known.items() if posixpath.join(root, path) in edited}
    kept = {path: Entry(entry.data, tree[path].mode) if path in tree else entry for path, entry in shown.items()}
    for steps, seen in ((left, {}), ([], kept), (left, kept)):
        if not steps and not seen:
            continue
        try:
            state = {**replay(tree, steps, root), **seen}
            replay(state, edits, root)
        except ReplayError:
            continue
        return state
    raise misfit


def without_repository(
    session: Row, segment: Segment, steps: list[Step], calls: list[Row], diff: bytes, settings: Mapping[str, Any]
) -> Start:
    """The start where no repository is at hand: a clone of its public address, else the files that the trace shows.

    Raises NoStart.
    """
    if not session["cwd"]:
        raise NoStart("the session records no working directory")
    root = posixpath.normpath(session["cwd"])
    known = known_files(calls, steps, segment.start, segment.end, root)
    commit = session["base_sha"] if diff.strip() and session["base_sha"] else session["commit_hash"]
    for kind in settings["environment"]["without_repository"]:
        url = clone_url(session["repository_url"])
        if kind == "clone" and url and commit:
            return Start("clone", known.start, root, commit, diff, url, known.first)
        if kind == "replayed" and known.start:
            return Start("replayed", known.start, root, None)
    raise NoStart("the repository is not at hand, and the trace shows no file in whole")


def clone_url(url: str | None) -> str | None:
    """The address anybody can clone from without a key: https as it is, `[git@]host:path` as https; None for others."""
    if not url:
        return None
    scp = _SCP.fullmatch(url)
    plain = f"https://{scp['at'] or scp['host']}/{scp['path']}" if scp else url
    return plain if plain.startswith(("https://", "http://", "git://")) and safe_url(plain) else None


def starting_diff(session: Row, codex_homes: Mapping[str, Path]) -> bytes:
    """The recorded starting diff; empty where there is none or its file is out of reach or outside its home."""
    relative, home = session["starting_diff_path"], codex_homes.get(session["home"])
    if not relative or home is None:
        return b""
    path = home / safe_path(relative)
    try:
        # The file belongs to a trace: a link that leads out of the home must not be followed.
        return path.read_bytes() if path.resolve().is_relative_to(home.resolve()) else b""
    except OSError:
        return b""


def redacted(
    tree: Tree, thread_id: str, redact: Redact, settings: Mapping[str, Any]
) -> tuple[dict[str, Entry], list[str]]:
    """The tree with secrets replaced in its text files, and the paths where that changed something.

    An address of a person becomes an address of nobody: manifests name their authors, and build tools parse that.
    """
    environment = settings["environment"]
    result, touched = dict(tree), []
    for path, entry in tree.items():
        text = entry.text
        if text is None or len(entry.data) > environment["maximum_file_bytes_to_redact"]:
            continue
        if posixpath.basename(path) in environment["redaction_exempt"]:
            continue
        clean = _HIDDEN_ADDRESS.sub(r"hidden-\1@example.invalid", redact(text, thread_id))
        if clean != text:
            result[path] = Entry(clean.encode("utf-8", "replace"), entry.mode)
            touched.append(path)
    return result, sorted(touched)
