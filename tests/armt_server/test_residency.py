from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from armt_server.residency import Residency


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    nbytes: int = 1
    on_host: bool = True


def _filled(budget: int, **values: Value) -> Residency[Value]:
    residency: Residency[Value] = Residency(budget)
    for session_id, value in values.items():
        residency.put(session_id, value)
    return residency


def _evicted(residency: Residency[Value]) -> list[str]:
    return [session_id for session_id, _ in residency.evict()]


def test_what_fits_stays():
    residency = _filled(2, a=Value(), b=Value())
    assert _evicted(residency) == []
    assert list(residency) == ["a", "b"]


def test_the_least_lately_used_goes_first():
    residency = _filled(2, a=Value(), b=Value(), c=Value(), d=Value())
    residency.get("a")
    assert _evicted(residency) == ["b", "c"]
    assert residency.get("b") is None


def test_looking_does_not_count_as_use():
    residency = _filled(1, a=Value(), b=Value())
    residency.peek("a")
    assert _evicted(residency) == ["a"]


def test_a_value_larger_than_the_budget_does_not_stay():
    residency = _filled(2, a=Value(3))
    assert _evicted(residency) == ["a"]
    assert len(residency) == 0


def test_a_new_value_takes_the_place_of_the_last_one():
    residency = _filled(5, a=Value(3))
    newer = Value(4)
    residency.put("a", newer)
    assert residency.get("a") is newer
    assert residency.nbytes == 4


def test_what_was_dropped_takes_no_room():
    residency = _filled(2, a=Value(2))
    residency.drop("a")
    residency.drop("a")
    assert residency.nbytes == 0


def test_what_the_device_has_no_room_for_moves_to_the_host_before_anything_is_let_go():
    residency = _filled(2, a=Value(2, on_host=False), b=Value(2, on_host=False))
    assert _evicted(residency) == []
    session_id, old = residency.next_to_move() or ("", Value())
    assert session_id == "a"
    residency.replace("a", old, Value(2))
    assert residency.next_to_move() is None
    assert _evicted(residency) == []
    assert len(residency) == 2


def test_a_move_that_comes_too_late_changes_nothing():
    residency = _filled(9, a=Value(2, on_host=False))
    old = residency.peek("a")
    assert old is not None
    newer = Value(3, on_host=False)
    residency.put("a", newer)
    residency.replace("a", old, Value(2))
    assert residency.peek("a") is newer
    assert residency.nbytes == 3


@settings(deadline=None)
@given(
    st.integers(0, 20),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9), st.booleans()), max_size=40),
)
def test_the_budget_holds_after_every_eviction_and_the_count_is_right(
    budget: int, puts: list[tuple[str, int, bool]]
):
    residency: Residency[Value] = Residency(budget)
    for session_id, nbytes, on_host in puts:
        residency.put(session_id, Value(nbytes, on_host))
        while (chosen := residency.next_to_move()) is not None:
            residency.replace(*chosen, dataclasses.replace(chosen[1], on_host=True))
        list(residency.evict())
        kept = [residency.peek(i) for i in residency]
        for tier in (True, False):
            assert sum(value.nbytes for value in kept if value and value.on_host == tier) <= budget
        assert residency.nbytes == sum(value.nbytes for value in kept if value)
