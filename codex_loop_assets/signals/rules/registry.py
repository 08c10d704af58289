"""Which rules there are: every module of this package that defines a Rule, found by listing the package."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from codex_loop_assets.signals.rules.rule import Rule


@cache
def rules() -> tuple[Rule, ...]:
    """All rules in the order of their categories. Raises ValueError when two files claim one category."""
    package = importlib.import_module("codex_loop_assets.signals.rules")
    found: dict[str, Rule] = {}
    for module_info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        module = importlib.import_module(module_info.name)
        for rule in (value for value in vars(module).values() if isinstance(value, Rule)):
            if rule.category in found:
                raise ValueError(f"two rule files for {rule.category!r}, one of them {module_info.name}")
            found[rule.category] = rule
    return tuple(found[name] for name in sorted(found))
