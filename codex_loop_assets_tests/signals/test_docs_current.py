"""The generated page about signals is current."""

from pathlib import Path

from codex_loop_assets.signals.rules.docs import markdown


def test_the_page_about_signals_is_what_the_rule_files_say():
    page = Path(__file__).parents[2] / "docs" / "signals.md"
    assert page.read_text("utf-8") == markdown(), "write it again with: make docs"
