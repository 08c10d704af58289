"""Failures on demand: which requests fail, how often, and in which way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Literal

Kind = Literal[
    "status", "slow", "slow_after", "drop", "drop_after", "not_json", "refusal", "malformed", "incomplete", "no_usage"
]


@dataclass
class Fault:
    """Of the requests to `path` (a glob) for which `when(body)` holds, `skip` pass and the next `times` go wrong.

    status: an error answer. slow, slow_after: `seconds` pass before it is done, or after. drop: the connection closes,
    nothing was done. drop_after: it was done, then the connection closes. not_json, refusal, malformed, incomplete,
    no_usage: kinds of answers.
    """

    kind: Kind
    path: str = "/v1/responses"
    times: int = 1
    method: str = "*"
    skip: int = 0
    status: int = 500
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    when: Callable[[object], bool] = lambda body: True


class Faults:
    """The faults still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def take(self, method: str, path: str, body: object) -> Fault | None:
        """The fault that this request meets, counted as used."""
        with self._lock:
            for fault in self._faults:
                if fault.times <= 0 or not fnmatch(method, fault.method) or not fnmatch(path, fault.path):
                    continue
                if not fault.when(body):
                    continue
                fault.skip -= 1
                if fault.skip < 0:
                    fault.times -= 1
                    return fault
        return None
