"""Reading one commit of a local Git repository, and a scratch object store that diffs and patches trees with Git
itself.

Only plumbing that reads objects is used on a person's repository: no hook, filter, fsmonitor or configured program can
run, and nothing is written to it. What a trace did to a tree is `replay`'s business.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from codex_loop_assets.distill.tree import Entry, Tree, UnsafePath, changed, safe_path

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_ADDRESS = re.compile(r"(?:https?|ssh|git)://(?:[^@/\s]*@)?(?P<host>[^/\s]+)/(?P<path>\S+)")
_SCP = re.compile(r"(?:[\w.-]+@)?(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+):(?P<path>[^/\s]\S*)")
_SAFE = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "safe.directory=*",
    "-c",
    "protocol.allow=never",
    "-c",
    "protocol.file.allow=always",
    "-c",
    "core.autocrlf=false",
    "-c",
    "core.quotePath=true",
    "-c",
    "gc.auto=0",
)


class RepositoryError(ValueError):
    """A repository or commit cannot be read, or Git refuses a patch; the message is Git's own, shortened."""


def _git(directory: Path, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> bytes:
    # A person's own configuration (signing, external diff tools, aliases) must not reach the result.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    environment |= {"GIT_INDEX_FILE": str(index)} if index else {}
    try:
        done = subprocess.run(
            ["git", *_SAFE, "-C", str(directory), *arguments],
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=300,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise RepositoryError(f"git {arguments[0]}: {error}") from error
    if done.returncode:
        raise RepositoryError(f"git {arguments[0]}: {done.stderr.decode('utf-8', 'replace').strip()[:300]}")
    return done.stdout


def find(repositories: Mapping[str, Path], url: str | None, name: str | None, cwd: str | None) -> Path | None:
    """The local repository of a session: looked up by origin URL (however it is written), then by working directory, then by
    short name."""
    for key in (url, cwd, name):
        if key and key in repositories:
            return repositories[key]
    wanted = origin(url) if url else None
    return next((path for key, path in sorted(repositories.items()) if wanted and origin(key) == wanted), None)


def origin(url: str) -> tuple[str, str] | None:
    """(host, path) of an address of a remote repository, the same for its https and its ssh forms; None for other text. The tables
    hold `git@host:path` without the user, as `host:path`."""
    found = _ADDRESS.fullmatch(url) or _SCP.fullmatch(url)
    return (found["host"].lower(), found["path"].strip("/").removesuffix(".git")) if found else None


def opened(source: Path, cache: Path) -> Path:
    """A Git directory for a clone (itself) or a bundle file (unpacked once under `cache`). Raises RepositoryError."""
    if source.is_dir():
        return source
    if not source.is_file():
        raise RepositoryError(f"no repository at {source.name}")
    stat = source.stat()
    key = hashlib.sha256(f"{source.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache / f"{source.stem}-{key}.git"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".bundle-", dir=cache))
        try:
            _git(scratch, "clone", "--quiet", "--mirror", "--template=", str(source.resolve()), str(scratch / "git"))
            if not target.exists():
                os.rename(scratch / "git", target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


@lru_cache(maxsize=4)
def read_commit(repository: Path, commit: str) -> Tree:
    """The tree of one commit, without history. Submodules are left out. Raises RepositoryError.

    Objects are read as they are stored: `git archive` would obey export-ignore and silently leave out the tests.
    """
    if not _COMMIT.fullmatch(commit):
        raise RepositoryError(f"not a commit id: {commit!r}")
    # The segments of a cluster often begin at one commit; the mapping is shared, so nobody may change it.
    return MappingProxyType(_read_tree(repository, f"{commit}^{{tree}}"))


def _read_tree(repository: Path, treeish: str) -> dict[str, Entry]:
    listing = _git(repository, "ls-tree", "-r", "-z", "--full-tree", treeish)
    rows = [row.split("\t", 1) for row in listing.decode("utf-8", "surrogateescape").split("\0") if row]
    files = [(meta.split()[0], meta.split()[2], path) for meta, path in rows if meta.split()[1] == "blob"]
    blobs = iter(_blobs(repository, [oid for _, oid, _ in files]))
    result = {}
    for mode, _, path in files:
        data = next(blobs)
        try:
            result[safe_path(path)] = Entry(data, mode if mode in ("100755", "120000") else "100644")
        except UnsafePath:
            continue
    return result


def _blobs(repository: Path, oids: list[str]) -> Iterator[bytes]:
    output = _git(repository, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode())
    position = 0
    for _ in oids:
        end = output.index(b"\n", position)
        header = output[position:end].split()
        if len(header) != 3:
            raise RepositoryError(f"object missing: {output[position:end].decode('ascii', 'replace')}")
        length = int(header[2])
        yield output[end + 1 : end + 1 + length]
        position = end + 2 + length


@dataclass(frozen=True)
class Store:
    """A scratch bare repository that holds trees, so that Git makes and applies the patches."""

    directory: Path

    def diff(self, before: Tree, after: Tree) -> bytes:
        """A patch from one tree to the other, binary files included; empty when they are equal."""
        paths = changed(before, after)
        if not paths:
            return b""
        for tree, name in ((before, "before"), (after, "after")):
            self._load({path: tree[path] for path in paths if path in tree}, name)
        options = ("--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        return _git(self.directory, "diff", *options, "refs/heads/before", "refs/heads/after")

    def apply(self, tree: Tree, patch: bytes) -> dict[str, Entry]:
        """The tree after a patch. Raises RepositoryError where Git refuses it (does not fit, or leaves the tree)."""
        if not patch.strip():
            return dict(tree)
        index = self.directory / "scratch-index"
        index.unlink(missing_ok=True)
        self._load(tree, "before")
        _git(self.directory, "read-tree", "refs/heads/before", index=index)
        _git(self.directory, "apply", "--cached", "--whitespace=nowarn", "-", stdin=patch, index=index)
        written = _git(self.directory, "write-tree", index=index).decode().strip()
        return _read_tree(self.directory, written)

    def _load(self, tree: Tree, branch: str) -> None:
        """Make the branch hold exactly this tree."""
        name = f"refs/heads/{branch}"
        stream = [f"reset {name}\ncommit {name}\ncommitter x <x@localhost> 0 +0000\ndata 0\ndeleteall\n".encode()]
        for path in sorted(tree):
            entry = tree[path]
            quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
            stream.append(f"M {entry.mode} inline {quoted}\ndata {len(entry.data)}\n".encode() + entry.data + b"\n")
        _git(self.directory, "fast-import", "--quiet", "--force", stdin=b"".join(stream))


@contextmanager
def scratch_store() -> Iterator[Store]:
    """A Store in a temporary directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="codex-loop-git-") as name:
        _git(Path(name), "init", "--quiet", "--bare", "--template=")
        yield Store(Path(name))
