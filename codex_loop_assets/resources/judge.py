"""The way to a language model: an OpenAI client made from the environment. Without a key nothing is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import OpenAI


class JudgeAccess:
    """OPENAI_API_KEY and, for any compatible server, OPENAI_BASE_URL."""

    def __init__(self, environment: Mapping[str, str] | None = None):
        self._environment = os.environ if environment is None else environment

    @property
    def available(self) -> bool:
        """Whether there is a key."""
        return bool(self._environment.get("OPENAI_API_KEY"))

    @property
    def address(self) -> str:
        """The server that is asked, for people."""
        return self._environment.get("OPENAI_BASE_URL") or "OpenAI's own address"

    def client(self) -> OpenAI:
        """A client that never retries by itself: repeating a call is a matter of budget, decided by the caller.

        Raises LookupError without a key.
        """
        if not self.available:
            raise LookupError("OPENAI_API_KEY is not set")
        from openai import OpenAI

        return OpenAI(
            api_key=self._environment["OPENAI_API_KEY"],
            base_url=self._environment.get("OPENAI_BASE_URL") or None,
            max_retries=0,
        )
