"""The budget: a day's reservations and costs never exceed it, whoever asks, whatever is killed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.llm.exchange import Request, Tokens
from codex_loop_assets.signals.judges.llm.governor import Governor
from codex_loop_assets.signals.judges.llm.prices import Prices, UnknownPrice, outdated
from codex_loop_assets_tests.signals.judges.llm_world import PROCESSES, reserve_often

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(moment=NOON):
    return lambda: moment


def test_a_reservation_that_does_not_fit_is_refused_and_the_next_smaller_one_granted(tmp_path):
    governor = Governor(tmp_path / "ledger", 1.0, at())
    assert governor.reserve([("a", 0.6), ("b", 0.5), ("c", 0.4)]) == [True, False, True]
    assert governor.spent() == pytest.approx(1.0) and governor.left() == pytest.approx(0.0)


def test_settling_gives_back_what_was_not_needed_and_counts_once(tmp_path):
    governor = Governor(tmp_path / "ledger", 1.0, at())
    governor.reserve([("a", 0.9), ("b", 0.1)])
    for _ in range(2):
        governor.settle("a", 0.2, "m", Tokens(10, 0, 5))
    governor.release("b")
    governor.release("a")
    assert governor.spent() == pytest.approx(0.2)
    assert governor.reserve([("a", 5.0)]) == [True]


def test_all_purposes_share_one_budget_and_each_is_told_apart(tmp_path):
    ledger = tmp_path / "deep" / "ledger"
    judging, labels = (Governor(ledger, 1.0, at(), purpose=name) for name in ("judging", "labels"))
    assert judging.by_purpose() == {} and not ledger.parent.exists()
    assert judging.reserve([("a", 0.7)]) == [True] and labels.reserve([("b", 0.4), ("c", 0.3)]) == [False, True]
    labels.settle("c", 0.1, "m", Tokens(10, 0, 5))
    assert judging.by_purpose() == pytest.approx({"judging": 0.7, "labels": 0.1})


def test_prices_that_were_read_long_ago_are_warned_about():
    prices = section("prices") | {"read": date(2026, 1, 1), "stale_after_days": 30}
    assert outdated(prices, date(2026, 1, 31)) is None
    assert "2026-01-01" in outdated(prices, date(2026, 2, 1))


def test_a_reservation_that_was_never_settled_counts_for_its_day_only(tmp_path):
    Governor(tmp_path / "ledger", 1.0, at()).reserve([("killed", 0.9)])
    assert Governor(tmp_path / "ledger", 1.0, at()).reserve([("b", 0.2)]) == [False]
    tomorrow = Governor(tmp_path / "ledger", 1.0, at(NOON + timedelta(days=1)))
    assert tomorrow.reserve([("b", 0.2)]) == [True]
    assert tomorrow.spent("2026-03-01") == pytest.approx(0.9)


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_torn_by_a_kill_harms_no_other(tmp_path, cut):
    ledger = tmp_path / "ledger"
    Governor(ledger, 1.0, at()).reserve([("a", 0.3)])
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + whole.replace(b'"a"', b'"b"')[:cut])
    governor = Governor(ledger, 1.0, at())
    assert governor.spent() == pytest.approx(0.3)
    assert governor.reserve([("c", 0.4)]) == [True]
    assert Governor(ledger, 1.0, at()).spent() == pytest.approx(0.7)


def test_threads_and_processes_together_never_exceed_the_budget(tmp_path):
    granted = PROCESSES.Queue()
    processes = [
        PROCESSES.Process(target=reserve_often, args=(tmp_path / "ledger", name, granted)) for name in ("a", "b", "c")
    ]
    for process in processes:
        process.start()
    assert sum(granted.get(timeout=60) for _ in processes) == 33
    for process in processes:
        process.join()
    governor = Governor(tmp_path / "ledger", 1.0)
    assert governor.spent() <= 1.0
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(lambda n: governor.reserve([(f"x{n}", 0.03)])[0], range(20)))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["reserve", "settle", "release", "reopen"]), st.integers(0, 8), st.floats(0, 0.5)),
        max_size=40,
    )
)
def test_no_course_of_events_exceeds_the_budget(tmp_path_factory, steps):
    ledger = tmp_path_factory.mktemp("ledger") / "ledger"
    governor, worst = Governor(ledger, 1.0, at()), {}
    for step, number, dollars in steps:
        name = str(number)
        if step == "reserve" and governor.reserve([(name, dollars)])[0]:
            worst.setdefault(name, dollars)
        elif step == "settle" and name in worst:
            governor.settle(name, min(dollars, worst[name]), "m", None)
        elif step == "release" and name in worst:
            governor.release(name)
        elif step == "reopen":
            governor = Governor(ledger, 1.0, at())
        assert governor.spent() <= 1.0 + 1e-9
    assert Governor(ledger, 1.0, at()).spent() == pytest.approx(governor.spent())


def test_the_ledger_says_what_was_used(tmp_path):
    governor = Governor(tmp_path / "ledger", 1.0, at())
    governor.reserve([("a", 0.9)])
    governor.settle("a", 0.2, "gpt-5-mini", Tokens(10, 4, 5))
    entry = json.loads((tmp_path / "ledger").read_text().splitlines()[-1])
    assert (entry["usd"], entry["model"], entry["input_tokens"], entry["output_tokens"]) == (0.2, "gpt-5-mini", 10, 5)


PRICES = Prices(section("prices"))


def test_prices_count_cached_input_and_batches_apart():
    model = section("prices")["models"]["gpt-5-mini"]
    million = 1_000_000
    assert PRICES.cost("gpt-5-mini", Tokens(million, 0, 0), batch=False) == pytest.approx(model["input"])
    assert PRICES.cost("gpt-5-mini", Tokens(million, million, 0), batch=False) == pytest.approx(model["cached_input"])
    assert PRICES.cost("gpt-5-mini-2025-08-07", Tokens(0, 0, million), batch=True) == pytest.approx(model["output"] / 2)
    with pytest.raises(UnknownPrice):
        PRICES.cost("gpt-5-mini-turbo", Tokens(1, 0, 0), batch=False)


@given(st.text(alphabet=st.characters(), max_size=300), st.integers(0, 1000))
def test_the_worst_case_bounds_any_text(text, output):
    """A byte-level vocabulary has no token of less than one byte."""
    request = Request("t", "w", "k", {}, {"model": "gpt-5-mini", "max_output_tokens": 1000, "input": text})
    tokens = Tokens(len(text.encode("utf-8", "surrogatepass")), 0, output)
    assert PRICES.cost("gpt-5-mini", tokens, batch=False) <= PRICES.worst(request, batch=False)
