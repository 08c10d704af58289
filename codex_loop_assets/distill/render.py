"""Rendering the templates beside this module. Values are rendered as they are: whoever passes one has made it safe for
its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined


@cache
def _templates() -> Environment:
    folder = resources.files("codex_loop_assets.distill") / "templates"
    loader = FunctionLoader(lambda name: (folder / name).read_text("utf-8"))
    # Neither shell nor Dockerfile has an escaping that would fit every place, so values arrive quoted.
    return Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )


def render(name: str, context: Mapping[str, Any]) -> bytes:
    """One template with its values, as UTF-8."""
    return _templates().get_template(name).render(**context).encode("utf-8")
