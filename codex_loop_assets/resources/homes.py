"""The codex-loop home: where everything lies, which Codex homes are registered, and where repositories are at hand.

Layout of a home (mode 0700, because it holds what people said and ran):

    codex_loop.duckdb  lake/  vectors/  harbor/  tickets/  reports/  cache/  locks/  decisions.jsonl  config.toml  dagster/

`config.toml` belongs to the person: settings sections may be overridden there, and comments are kept when a command adds
a Codex home. What does not belong here: how tables are written (`lake.py`).
"""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import dagster as dg
import tomlkit
from filelock import FileLock

from codex_loop_assets import settings
from codex_loop_assets.resources.lake import Lake, build_catalogue
from codex_loop_assets.traces.homes import CodexHome

VARIABLE = "CODEX_LOOP_HOME"
DEFAULT = ".codex_loop"


class HomeError(Exception):
    """A home or a Codex home is missing or unreadable; the message says which and what to do."""


@dataclass(frozen=True)
class Home:
    """A codex-loop home on disk. Nothing is created or read until a method is called."""

    root: Path

    @classmethod
    def resolve(cls, home: str | None = None, db: str | None = None) -> Home:
        """`--home` wins over `--db PATH` (home `PATH.d`, catalogue PATH) over CODEX_LOOP_HOME over `.codex_loop`."""
        if home:
            return cls(Path(home).expanduser().resolve())
        if db:
            return cls(Path(f"{db}.d").expanduser().resolve())
        return cls(Path(os.environ.get(VARIABLE) or DEFAULT).expanduser().resolve())

    @property
    def config_path(self) -> Path:
        return self.root / "config.toml"

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    @property
    def decisions_path(self) -> Path:
        return self.root / "decisions.jsonl"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "lake", self.root / "locks")

    @property
    def exists(self) -> bool:
        return self.config_path.is_file()

    @property
    def catalogue(self) -> Path:
        return (self.root / self._configured("catalogue", "codex_loop.duckdb")).resolve()

    @property
    def vectors_path(self) -> Path:
        return (self.root / self._configured("vectors", "vectors")).resolve()

    def initialise(self, catalogue: Path | None = None) -> None:
        """Create the home, or bring an older one up to date; running it again changes nothing."""
        for directory in (self.root, self.dagster_home, self.cache, self.root / "locks"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        if not self.exists:
            self.config_path.write_text(
                "# Settings of this codex-loop home. Any table of codex_loop_assets/config may be overridden here.\n\n[home]\n",
                encoding="utf-8",
            )
        if catalogue:
            self.remember("catalogue", str(catalogue.expanduser().resolve()))
        instance_file = self.dagster_home / "dagster.yaml"
        if not instance_file.exists():
            shutil.copyfile(_instance_template(), instance_file)
        self.lake.prepare()
        self.refresh_catalogue()

    def require(self) -> Home:
        """This home, or HomeError when it was never initialised."""
        if not self.exists:
            raise HomeError(f"no codex-loop home at {self.root}; create it with: codex-loop init --home {self.root}")
        return self

    def refresh_catalogue(self) -> None:
        """Write the DuckDB file of views again (its paths are absolute, so a moved home needs it)."""
        self.catalogue.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "locks" / "catalogue.lock"):
            build_catalogue(self.lake, self.catalogue)

    def overrides(self) -> dict[str, Any]:
        return settings.read_overrides(self.config_path)

    def section(self, name: str) -> dict[str, Any]:
        """One settings section with this home's overrides."""
        return settings.section(name, self.overrides())

    def remember(self, key: str, value: str) -> None:
        """Set a key of `[home]` in config.toml, keeping the rest of the file as the person wrote it."""
        with self._edited() as document:
            document.setdefault("home", tomlkit.table())[key] = value

    def codex_homes(self) -> list[CodexHome]:
        """The registered Codex homes, in name order."""
        registered = self.overrides().get("codex_homes", {})
        return [
            CodexHome(name=name, path=Path(entry["path"]), machine=entry.get("machine", ""))
            for name, entry in sorted(registered.items())
        ]

    def register(self, path: str | Path, name: str | None = None) -> CodexHome:
        """Remember a Codex home (idempotent). Its name, which ends up in every row, is `name`, else made from the path.

        Raises HomeError when the directory does not exist.
        """
        directory = Path(path).expanduser().resolve()
        if not directory.is_dir():
            raise HomeError(
                f"{directory} is no directory; --codex-home wants the folder that holds sessions/ or trace_spine/"
            )
        for known in self.codex_homes():
            if known.path == directory and name in (None, known.name):
                return known
        taken = {home.name for home in self.codex_homes()}
        chosen = name or _free_name(directory, taken)
        if chosen in taken:
            raise HomeError(f"the name {chosen!r} is taken by another Codex home; choose one with --name")
        entry = {"path": str(directory), "machine": socket.gethostname()}
        with self._edited() as document:
            document.setdefault("codex_homes", tomlkit.table())[chosen] = entry
        return CodexHome(name=chosen, path=directory, machine=entry["machine"])

    def repositories(self) -> dict[str, Path]:
        """Where repositories are at hand: short name, remote URL or recorded working directory -> clone or bundle."""
        return {key: Path(value).expanduser() for key, value in self.overrides().get("repositories", {}).items()}

    def register_repository(self, key: str, path: Path) -> None:
        """Remember where the repository that sessions know as `key` lies on this machine."""
        with self._edited() as document:
            document.setdefault("repositories", tomlkit.table())[key] = str(path.expanduser().resolve())

    def _configured(self, key: str, default: str) -> str:
        return self.overrides().get("home", {}).get(key, default)

    def _edited(self) -> _EditedConfiguration:
        return _EditedConfiguration(self.config_path, self.root / "locks" / "config.lock")


class _EditedConfiguration:
    """Context manager: config.toml as an editable document under a lock, replaced atomically on leaving."""

    def __init__(self, path: Path, lock: Path):
        self._path, self._lock = path, FileLock(lock)

    def __enter__(self) -> tomlkit.TOMLDocument:
        self._lock.acquire()
        self._document = tomlkit.parse(self._path.read_text("utf-8"))
        return self._document

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
                temporary.write_text(tomlkit.dumps(self._document), encoding="utf-8")
                os.replace(temporary, self._path)
        finally:
            self._lock.release()


def _free_name(directory: Path, taken: set[str]) -> str:
    base = directory.name.lstrip(".") or "codex"
    if base == "codex" and directory.parent.name:
        base = f"codex-{directory.parent.name}"
    candidates = [base, *(f"{base}-{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def _instance_template() -> Path:
    """The project's dagster.yaml: beside the package in a checkout, inside it when installed from a wheel."""
    beside = Path(str(resources.files("codex_loop_assets"))).parent / "dagster.yaml"
    return beside if beside.is_file() else Path(str(resources.files("codex_loop_assets") / "dagster.yaml"))


class HomeResource(dg.ConfigurableResource):
    """The home that a run works on: `root`, else CODEX_LOOP_HOME, else `.codex_loop` in the working directory."""

    root: str = ""

    @property
    def home(self) -> Home:
        return Home.resolve(self.root or None).require()
