"""One line to one JSON object, tolerantly: bad UTF-8, lone surrogates and NaN do not lose a line."""

from __future__ import annotations

import json
from typing import Any

from orjson import JSONDecodeError, loads


class NotARecord(ValueError):
    """The line is no JSON object: torn, corrupt, or something else altogether."""


def decode(line: bytes) -> dict:
    """The object on a line. Raises NotARecord.

    orjson refuses lone surrogates (models do write them), NaN and invalid UTF-8, so its refusal gets a second opinion.
    """
    try:
        value = loads(line)
    except JSONDecodeError:
        value = _second_opinion(line)
    if type(value) is not dict:
        raise NotARecord("no JSON object")
    return value


def _second_opinion(line: bytes) -> Any:
    try:
        return _clean(json.loads(line.decode("utf-8", "replace"), parse_constant=lambda _: None))
    except (ValueError, RecursionError) as error:
        raise NotARecord(str(error)) from error


def _clean(value: Any) -> Any:
    """Replace what cannot be written as UTF-8 again."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value
