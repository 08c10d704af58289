"""detect-secrets' own patterns and checks, by the name of their plugin.

Importing a plugin also imports an HTTP client, with which it would ask a provider whether a secret still works. Nobody is
asked here, and the client took half of the time that the first redaction of a process waits for, so it is loaded only if
something uses it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_CLIENT = "requests"


def plugin(name: str) -> Any:
    """The class `module.Class` of detect_secrets.plugins. Raises ImportError or AttributeError where there is none."""
    module, _, class_name = name.partition(".")
    stand_in = _WhenUsed(_CLIENT)
    sys.modules.setdefault(_CLIENT, stand_in)
    try:
        return getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), class_name)
    finally:
        if sys.modules.get(_CLIENT) is stand_in:
            del sys.modules[_CLIENT]


class _WhenUsed(ModuleType):
    """Stands for a module until something is read from it. The standard library's LazyLoader does not do: up to Python 3.11
    it takes the import statement itself for a use."""

    def __getattr__(self, attribute: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)
