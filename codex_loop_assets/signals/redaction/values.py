"""Is a value that stands where a secret could stand worth hiding? Judgements on one value; no searching in text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any


class ValueJudge:
    """Decides on single values by the settings `values`, `emails` and `users` of the section `redaction`."""

    def __init__(self, settings: Mapping[str, Any]):
        self._values = settings["values"]
        self._never = re.compile("|".join(f"(?:{pattern})" for pattern in self._values["never"]))
        self._code = re.compile("|".join(f"(?:{pattern})" for pattern in self._values["code"]))
        emails = settings["emails"]
        self._email_kept = re.compile(
            rf"(?i:(?:{'|'.join(emails['names_kept'])})@.*|.*@(?:{'|'.join(emails['domains_kept'])}))"
        )
        self._file_endings = frozenset(emails["file_endings"])
        self._user_kept = re.compile("|".join(f"(?:{name})" for name in settings["users"]["names_kept"]), re.IGNORECASE)

    def is_assigned_secret(self, value: str, quoted: bool, shell: bool) -> bool:
        """Whether `value`, assigned to a name that says "secret", is one: not a stand-in, a reference, code or a word.

        `quoted`: it stood in quotes. `shell`: it stands in a shell or .env assignment, where bare text is a value.
        """
        if not self.is_real(value):
            return False
        if not quoted and (re.match(r"\w+\(", value) or (not shell and self.is_code(value))):
            return False
        if re.fullmatch(r"[A-Za-z_$./ :,-]+", value):
            return (shell and " " not in value) or self._is_random_word(value)
        if quoted:
            return " " not in value and self.entropy(value) >= self._values["min_entropy_quoted"]
        return shell or (
            re.search(r"[0-9]", value) is not None
            and re.search(r"[A-Za-z]", value) is not None
            and self.entropy(value) >= self._values["min_entropy_bare"]
            and not re.fullmatch(r"[A-Za-z]+(?:_[A-Za-z]+)*_?\d{0,2}", value)
        )

    def is_spoken_secret(self, value: str) -> bool:
        """Whether a word of running text, named as a password or token, is one: words hold no digit among symbols."""
        return (
            self.is_real(value)
            and re.search(r"[0-9]", value) is not None
            and re.search(r"[A-Za-z]", value) is not None
            and (
                re.search(r"[!@#$%^&*]", value) is not None
                or re.search(r"[a-z].*[A-Z]|[A-Z].*[a-z]", value) is not None
            )
            and self.entropy(value) >= self._values["min_entropy_bare"]
        )

    def is_code(self, value: str) -> bool:
        """Whether a bare value is an expression of source code: a call, an index, an attribute."""
        return self._code.search(value) is not None

    def is_real(self, value: str) -> bool:
        """Whether `value` can be a secret at all: long enough, not a template, a sequence or a stand-in."""
        from detect_secrets.filters import heuristic

        return not (
            len(value) < self._values["min_length"]
            or heuristic.is_templated_secret(value)
            or heuristic.is_sequential_string(value)
            or heuristic.is_not_alphanumeric_string(value)
            or self._never.fullmatch(value)
        )

    def is_personal_address(self, address: str) -> bool:
        """Whether an e-mail address may belong to a person: not reserved for examples, not a robot, not a file name."""
        address = address.replace("%40", "@")
        if self._email_kept.fullmatch(address):
            return False
        return address.rsplit(".", 1)[-1].lower() not in self._file_endings

    def is_user_name(self, name: str) -> bool:
        """Whether a directory under a home directory names a person, not a role account or a template."""
        return self._user_kept.fullmatch(name) is None and re.search(r"\w", name) is not None

    def entropy(self, value: str) -> float:
        """Shannon entropy in bits per character."""
        return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())

    def _is_random_word(self, value: str) -> bool:
        return (
            len(value) >= self._values["min_length_word"]
            and re.fullmatch(r"[A-Za-z]+", value) is not None
            and self.entropy(value) >= self._values["min_entropy_word"]
        )
