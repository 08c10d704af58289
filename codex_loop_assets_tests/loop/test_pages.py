"""Laws of report and site: self-contained, escaped, nothing dropped in silence, unknown never shown as zero."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import polars as pl
import pytest

from codex_loop_assets.loop import charts, site, tickets
from codex_loop_assets.loop.report import ReportInputs, day_page
from codex_loop_assets.measure import trends
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.loop import world

TYPES = {"denial_exec": "friction", "exec_failure": "friction", "interrupt": "friction", "fast_completion": "delight"}
DAY = world.FIRST + timedelta(days=1)


def exposure(frames, categories=("exec_failure", "interrupt", "fast_completion")):
    return frames["sessions"].select("thread_id").join(pl.DataFrame({"category": list(categories)}), how="cross")


def inputs(frames=None, **more):
    frames = frames or world.frames()
    seen = exposure(frames)
    frames["trends"] = trends.compute(
        frames["signals"], frames["sessions"], frames["turns"], seen, frames["spines"], frames["judge_coverage"],
        frames["cluster_members"],
    )  # fmt: skip
    ticket = tickets.build(world.CLUSTER, frames, [], world.TODAY)
    frames["tickets"] = ticket.frame
    texts = {ticket.row["ticket_id"]: ticket.markdown}
    return ReportInputs(frames, seen, TYPES, texts, **more)


class Checker(HTMLParser):
    """Open and close tags must match; ids must be unique; collects links and words."""

    VOID = frozenset({"meta", "link", "br", "rect", "path", "circle"})

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.words = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values[name] for name in ("href", "src") if values.get(name)]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def built():
    return inputs()


def test_a_days_page_needs_no_other_file_and_no_network(built):
    html, row = day_page(built, DAY)
    page = Checker(html)
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\(|@import|<script|<img|https?://", html)
    assert len(page.ids) == len(set(page.ids))
    TABLES["daily_report"].frame([row])
    assert row["sessions"] == 3 and row["friction"] == 1


def test_shares_count_only_sessions_where_it_could_be_seen(built):
    page = Checker(day_page(built, DAY)[0])
    assert "1 of 3 where it could be seen" in page.text
    assert "interrupt (0 of 3)" in page.text
    assert "unknown rather than zero: denial exec" in page.text


def test_every_source_and_line_of_the_day_is_accounted_for(built):
    page = Checker(day_page(built, world.FIRST)[0])
    assert "4 sources: 3 ingested, 1 quarantined." in page.text
    assert "56 lines: 36 read, 8 skipped by rule, 12 torn." in page.text
    assert "Every line is accounted for." in page.text and "no session_meta record" in page.text


def test_a_ledger_that_does_not_add_up_says_so():
    frames = world.frames()
    frames["spines"] = frames["spines"].with_columns(lines=pl.col("lines") + 1)
    assert "lines are unaccounted for" in Checker(day_page(inputs(frames), world.FIRST)[0]).text


def test_a_day_without_sessions_has_a_page(built):
    html, row = day_page(built, world.FIRST - timedelta(days=3))
    assert "No session started on this day." in Checker(html).text and row["sessions"] == 0


def test_an_empty_lake_has_pages():
    nothing = ReportInputs({})
    assert "No session started" in Checker(day_page(nothing, DAY)[0]).text
    assert all(Checker(html) for path, html in site.build(nothing).items() if path.endswith(".html"))


def test_text_of_a_trace_is_never_markup():
    frames = world.frames()
    hostile = '</p><script>alert(1)</script><img src=x onerror="y">\u202e{{ 7*7 }}'
    frames["signals"] = frames["signals"].with_columns(description=pl.lit(hostile))
    frames["turns"] = frames["turns"].with_columns(user_message=pl.lit(hostile), final_message=pl.lit(hostile))
    frames["tool_calls"] = frames["tool_calls"].with_columns(command=pl.lit(hostile), output=pl.lit(hostile))
    frames["clusters"] = frames["clusters"].with_columns(label=pl.lit(hostile), description=pl.lit(hostile))
    for path, html in site.build(inputs(frames)).items():
        assert "<script" not in html and "<img" not in html and "49" not in re.sub(r"[\d.]+", "", html), path
        assert "\u202e" not in html


def test_a_secret_reaches_no_page():
    secret = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"
    frames = world.frames()
    for table, column in [
        ("turns", "user_message"),
        ("turns", "final_message"),
        ("tool_calls", "command"),
        ("tool_calls", "output"),
    ]:
        frames[table] = frames[table].with_columns(pl.lit(f"token {secret} here").alias(column))
    frames["signals"] = frames["signals"].with_columns(description=pl.lit(f"used {secret}"))
    frames["clusters"] = frames["clusters"].with_columns(label=pl.lit(f"pushes with {secret}"), terms=pl.lit([secret]))
    given = inputs(frames)
    assert not [path for path, html in (site.build(given) | {"day": day_page(given, DAY)[0]}).items() if secret in html]


def test_every_link_of_the_site_leads_to_a_page_and_place(built):
    pages = site.build(built)
    parsed = {path: Checker(html) for path, html in pages.items() if path.endswith(".html")}
    for path, page in parsed.items():
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            target, _, anchor = link.partition("#")
            parts = path.split("/")[:-1]
            for piece in target.split("/"):
                parts = parts[:-1] if piece == ".." else [*parts, piece] if piece else parts
            where = "/".join(parts) if target else path
            assert where in pages, (path, link)
            assert not anchor or anchor in parsed[where].ids, (path, link)
    assert len(parsed) > 40


def test_a_transcript_marks_each_signal_in_its_turn(built):
    page = Checker(site.build(built)[f"sessions/{world.thread(1)}.html"])
    assert "seq-5" in page.ids and "pytest fails twice because a plugin is missing" in page.text
    assert "run the tests of <b>shop</b>" in page.text


def test_pages_left_out_by_a_limit_are_counted():
    settings = ReportInputs({}).settings
    few = inputs(settings={**settings, "site": {**settings["site"], "transcripts": 5}})
    pages = site.build(few)
    assert len([path for path in pages if path.startswith("sessions/")]) == 5
    assert "25 further sessions have no page here" in Checker(pages["sessions.html"]).text


class Lists(HTMLParser):
    """The number of entries of every list and table body, the inner ones on their own."""

    def __init__(self, html):
        super().__init__()
        self.entries, self._open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag in ("ul", "tbody"):
            self._open.append(0)
        elif tag in ("li", "tr") and self._open:
            self._open[-1] += 1

    def handle_endtag(self, tag):
        if tag in ("ul", "tbody"):
            self.entries.append(self._open.pop())


def test_what_lists_leave_out_is_counted():
    frames = world.frames()
    broken = [world.broken_spine(world.FIRST) | {"thread_id": world.thread(number)} for number in range(90, 99)]
    # Skipped for many reasons, as files of a version from the future would be.
    strange = [row | {"unknown_kinds": f'{{"kind_{number}": 1}}'} for number, row in enumerate(broken)]
    frames["spines"] = pl.concat([frames["spines"], TABLES["spines"].frame(strange)])
    lost = [world.lost_candidate() | {"candidate_id": f"l{n}", "reason": f"reason {n}"} for n in range(9)]
    frames["harbor_datasets"] = pl.concat([frames["harbor_datasets"], TABLES["harbor_datasets"].frame(lost)])
    event = {"kind": "birth", "cluster_id": world.CLUSTER, "other_id": "", "overlap": 0.0, "size": 4}
    grown = [event | {"dt": world.FIRST + timedelta(days=number)} for number in range(9)]
    frames["cluster_events"] = TABLES["cluster_events"].frame(grown)
    settings = ReportInputs({}).settings
    limits = {"page": {**settings["page"], "rows": 3}, "site": {**settings["site"], "days": 3}}
    pages = site.build(inputs(frames, settings={**settings, **limits}))
    listing = {"coverage.html", "funnel.html", "days.html", "clusters.html", f"clusters/{world.CLUSTER}.html"}
    for path in listing:
        bounded = pages[path].split("<main")[1].split('id="observability"')[0]
        assert max(Lists(bounded).entries, default=0) <= 5, path  # The facts of a card are five.
    told = {path: Checker(pages[path]).text for path in listing}
    assert "7 further sources with a remark" in told["coverage.html"]
    assert "6 further kinds" in told["coverage.html"] and "7 further reasons" in told["funnel.html"]
    assert "6 earlier events" in told[f"clusters/{world.CLUSTER}.html"] and "earlier days" in told["days.html"]


def test_a_thread_id_that_is_no_file_name_still_has_its_page(built):
    frames = {**world.frames()}
    odd = "../../etc/pass wd"
    for table in ("sessions", "turns", "tool_calls", "signals"):
        frames[table] = frames[table].with_columns(pl.col("thread_id").replace(world.thread(1), odd))
    paths = [path for path in site.build(ReportInputs(frames)) if path.startswith("sessions/")]
    assert len(paths) == 30 and not [path for path in paths if ".." in path or " " in path]


def test_the_same_inputs_give_the_same_site(built):
    assert site.build(built) == site.build(built)


def test_charts_say_their_numbers_in_words():
    assert 'aria-label="arrivals: 1, 0, 3"' in charts.sparkline([1, 0, 3], "arrivals", "friction")
    assert charts.sparkline([], "x", "friction") == "" and charts.trend_line([], "x", "friction") == ""
