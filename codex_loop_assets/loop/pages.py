"""The Jinja environment of tickets and pages.

What belongs here: how templates are found and what escapes their values. HTML templates escape every value; Markdown
templates get values that `excerpt` has made safe, since HTML escaping would garble them.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


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


QUERIES = "\n## Queries\n"


def ticket_html(text: str) -> Markup:
    """A ticket's Markdown as HTML, its queries folded away (a link to one of them opens the fold)."""
    words, heading, queries = text.partition(QUERIES)
    if not heading:
        return markdown_html(text)
    return Markup("{}<details><summary>Queries behind the numbers</summary>{}</details>").format(
        markdown_html(words), markdown_html(queries)
    )


def markdown_html(text: str) -> Markup:
    """Markdown as HTML. Raw HTML in it stays text; headings get the ids that the text's own links point to."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", tokens[position + 1].content.lower().replace(" ", "-"))
        elif token.type == "table_open":
            token.attrSet("tabindex", "0")  # A wide table scrolls, also for those who use a keyboard.
    return Markup(parser.renderer.render(tokens, parser.options, {}))
