from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import multiprocess
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.workers import Outcome, supervised_map
from tests.common.worker_functions import (
    Item,
    StartThatIsKilled,
    give_state,
    square,
    start,
    start_under_ctrl_c,
    start_with_a_mistake,
    start_with_a_user_error,
    threads_and_pid,
)


def outcomes(
    items: Sequence[Any],
    *,
    jobs: int = 2,
    limit_s: float = 60.0,
    retries: int = 1,
    start: Callable[[], Any] = start,
) -> list[Outcome]:
    """Everything that comes back, in the order of the items; one for each."""
    found = list(
        supervised_map(square, items, jobs=jobs, start=start, limit_s=limit_s, retries=retries)
    )
    assert sorted(outcome.index for outcome in found) == list(range(len(items)))
    assert not multiprocess.active_children()
    return sorted(found, key=lambda outcome: outcome.index)


def numbers(folder: Path, count: int, **faults: Item) -> list[Item]:
    return [faults.get(f"n{n}", Item(n, folder)) for n in range(count)]


def squared(found: list[Outcome], *, but: Sequence[int] = ()) -> bool:
    return all(
        outcome.error is None and outcome.value[0] == outcome.index**2 + 100
        for outcome in found
        if outcome.index not in but
    )


def test_every_item_comes_back_from_other_processes(tmp_path: Path) -> None:
    found = outcomes(numbers(tmp_path, 20))
    assert squared(found)
    processes = {outcome.value[1] for outcome in found}
    assert len(processes) <= 2
    assert os.getpid() not in processes


def test_nothing_to_do_starts_nothing() -> None:
    assert outcomes([]) == []


def test_workers_have_one_thread_each_and_this_process_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    (outcome,) = supervised_map(give_state, [0], jobs=1, start=threads_and_pid)
    assert outcome.value[0] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_worker_killed_once_costs_a_retry_and_no_row(tmp_path: Path) -> None:
    items = numbers(tmp_path, 8, n3=Item(3, tmp_path, "die", 1))
    found = outcomes(items)
    assert squared(found)
    assert (tmp_path / "item-3-0").exists()  # it was killed


def test_an_item_that_always_kills_its_worker_is_given_up_with_a_reason(tmp_path: Path) -> None:
    items = numbers(tmp_path, 8, n0=Item(0, tmp_path, "die", 99))
    found = outcomes(items)
    assert squared(found, but=[0])
    assert found[0].value is None
    assert found[0].error == "its worker process died, 2 times in a row"
    assert len(list(tmp_path.iterdir())) == 2  # tried twice, not more


def test_retries_are_counted_as_asked(tmp_path: Path) -> None:
    found = outcomes([Item(0, tmp_path, "die", 99)], jobs=1, retries=0)
    assert found[0].error is not None
    assert len(list(tmp_path.iterdir())) == 1


def test_every_item_kills_its_worker(tmp_path: Path) -> None:
    found = outcomes([Item(n, tmp_path, "die", 99) for n in range(3)])
    assert [outcome.value for outcome in found] == [None] * 3
    assert all(outcome.error for outcome in found)


def test_a_worker_that_leaves_quietly_is_noticed(tmp_path: Path) -> None:
    found = outcomes(numbers(tmp_path, 4, n1=Item(1, tmp_path, "exit", 1)))
    assert squared(found)


def test_a_stuck_item_is_given_up_while_the_others_come_back(tmp_path: Path) -> None:
    items = numbers(tmp_path, 8, n2=Item(2, tmp_path, "hang", 99))
    found = outcomes(items, limit_s=0.6)
    assert squared(found, but=[2])
    assert found[2].value is None
    assert found[2].error == "it took longer than 1 s, 2 times in a row"


def test_an_item_stuck_once_is_done_the_second_time(tmp_path: Path) -> None:
    found = outcomes(numbers(tmp_path, 3, n0=Item(0, tmp_path, "hang", 1)), jobs=1, limit_s=0.6)
    assert squared(found)


def test_the_limit_is_for_one_item_and_not_for_those_before_it(tmp_path: Path) -> None:
    items = [Item(n, tmp_path, "slow", 1) for n in range(6)]
    assert squared(outcomes(items, jobs=1, limit_s=1.5, retries=0))  # 2.4 s in all


def test_an_exception_becomes_the_error_of_its_item_alone(tmp_path: Path) -> None:
    items = numbers(tmp_path, 5, n4=Item(4, tmp_path, "raise", 99))
    found = outcomes(items)
    assert squared(found, but=[4])
    assert found[4].error == "ValueError: an unlucky number"
    assert len(list(tmp_path.iterdir())) == 1  # tried once: it would only happen again


def test_a_start_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^The model is broken: get it again\.$"):
        outcomes(numbers(tmp_path, 4), start=start_with_a_user_error)
    assert not multiprocess.active_children()


def test_a_start_that_fails_otherwise_names_the_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot start \(ZeroDivisionError: "):
        outcomes(numbers(tmp_path, 4), start=start_with_a_mistake)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signals on Windows")
def test_ctrl_c_does_not_reach_a_worker_even_while_it_starts(tmp_path: Path) -> None:
    found = outcomes(numbers(tmp_path, 4), start=start_under_ctrl_c)
    assert squared(found)


def test_workers_killed_while_they_start_are_replaced(tmp_path: Path) -> None:
    found = outcomes(numbers(tmp_path, 6), start=StartThatIsKilled(tmp_path, times=3))
    assert squared(found)
    assert len(list(tmp_path.glob("start-*"))) == 3


def test_workers_that_never_start_are_not_replaced_for_ever(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fewer --jobs"):
        outcomes(numbers(tmp_path, 6), start=StartThatIsKilled(tmp_path, times=99))
    assert not multiprocess.active_children()


def test_all_workers_are_gone_when_the_caller_stops_early(tmp_path: Path) -> None:
    results = supervised_map(square, numbers(tmp_path, 50), jobs=2, start=start)
    next(results)
    assert multiprocess.active_children()
    results.close()
    assert not multiprocess.active_children()


def test_a_caller_that_takes_its_time_does_not_make_items_late(tmp_path: Path) -> None:
    results = supervised_map(square, numbers(tmp_path, 6), jobs=1, start=start, limit_s=0.5)
    found = [next(results)]
    time.sleep(1.0)
    found += results
    assert squared(found)


FAULTS = st.tuples(st.sampled_from(["none", "none", "die", "raise", "exit"]), st.integers(1, 3))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FAULTS, min_size=1, max_size=9), st.integers(1, 3), st.integers(0, 2))
def test_one_outcome_for_each_item_whatever_happens(
    faults: list[tuple[str, int]], jobs: int, retries: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        items = [Item(n, folder, fault, times) for n, (fault, times) in enumerate(faults)]
        found = outcomes(items, jobs=jobs, retries=retries)
    for outcome, (fault, times) in zip(found, faults, strict=True):
        lost = fault == "raise" or (fault in ("die", "exit") and times > retries)
        assert (outcome.error is not None) == lost
        assert (outcome.value is None) == lost
