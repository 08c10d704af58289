"""A Codex home: the directory that Codex writes its sessions to.

Belongs here: what identifies a home. Registering and remembering homes is the wiring's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CodexHome:
    """One registered home: a name unique among the homes, its directory (`~/.codex`), the machine it belongs to."""

    name: str
    path: Path
    machine: str | None = None
