"""The Jinja environment of tickets and pages.

What belongs here: how templates are found and what escapes their values. HTML templates escape every value; Markdown
templates get values that `excerpt` has made safe, since HTML escaping would garble them.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def environment() -> Environment:
    """Templates of `loop/templates`; a name that a template misspells is an error, not an empty place."""
    return Environment(
        loader=PackageLoader("codex_loop_assets.loop", "templates"),
        autoescape=lambda name: bool(name) and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
