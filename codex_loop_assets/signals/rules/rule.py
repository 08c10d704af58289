"""What a rule file is: a function that finds moments, and the statements that document and register it.

A rule file is one module in this package with one function under `@rule(...)`. Adding the file adds the rule: it is
found by
name, documented from its own statements, and its thresholds are the table of its category in config/rules.toml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.signals.model import CanonTables, Moment
from codex_loop_assets.signals.schema import Category

Find = Callable[[CanonTables, Mapping[str, Any]], list[Moment]]


@dataclass(frozen=True)
class Rule:
    """A mechanical detector of one category.

    `needs` are facts of config/observability.toml that a record must hold for the category to be observable;
    `near_misses`
    say what looks like the category and is not; `introduces` defines a category that config/categories.toml does not
    have.
    `find(canon, thresholds)` is pure and returns moments in any order.
    """

    category: str
    version: str
    looks_for: str
    evidence: str
    near_misses: tuple[str, ...]
    needs: tuple[str, ...]
    find: Find
    introduces: Category | None = None

    @property
    def detector_version(self) -> str:
        return f"{self.category}/{self.version}"


def rule(
    *,
    category: str,
    version: str,
    looks_for: str,
    evidence: str,
    near_misses: tuple[str, ...],
    needs: tuple[str, ...],
    introduces: Category | None = None,
) -> Callable[[Find], Rule]:
    """Turn the decorated `find(canon, thresholds)` into a Rule. `version` changes whenever its findings may change."""

    def wrap(find: Find) -> Rule:
        return Rule(category, version, looks_for, evidence, near_misses, needs, find, introduces)

    return wrap
