from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from armt_server.scheduler import Scheduler, Turn


def _scheduler(*, max_batch: int = 2, answers: str = "", readers: str = "") -> Scheduler[str, str]:
    scheduler: Scheduler[str, str] = Scheduler(max_batch, answer_turns=3)
    for job in answers:
        scheduler.add_answer(job)
    for job in readers:
        scheduler.add_reader(job)
    return scheduler


def test_nobody_to_serve_is_no_work():
    scheduler = _scheduler()
    assert not scheduler.has_work
    assert scheduler.next_turn() == Turn()


def test_readers_go_round_in_batches():
    scheduler = _scheduler(readers="abc")
    turns = ["".join(scheduler.next_turn().readers) for _ in range(4)]
    assert turns == ["ab", "ca", "bc", "ab"]


def test_a_newcomer_waits_for_one_round_at_most():
    scheduler = _scheduler(readers="abc")
    scheduler.next_turn()
    scheduler.add_reader("d")
    assert scheduler.next_turn().readers == ("c", "a")
    assert scheduler.next_turn().readers == ("b", "d")


def test_answers_go_first_but_let_absorption_pass():
    scheduler = _scheduler(answers="x", readers="a")
    turns = [scheduler.next_turn() for _ in range(8)]
    assert [bool(turn.answers) for turn in turns] == [True, True, True, False] * 2


def test_an_answer_that_comes_during_absorption_has_the_next_turn():
    scheduler = _scheduler(readers="abc")
    scheduler.next_turn()
    scheduler.add_answer("x")
    assert scheduler.next_turn().answers == ("x",)


def test_who_is_removed_has_no_more_turns():
    scheduler = _scheduler(answers="x", readers="ab")
    scheduler.remove("x")
    scheduler.remove("a")
    scheduler.remove("was never there")
    assert (scheduler.answers, scheduler.readers) == ((), ("b",))
    assert scheduler.next_turn().readers == ("b",)
    scheduler.remove("b")
    assert not scheduler.has_work


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 6), st.integers(0, 6))
def test_everyone_is_served_equally_often(max_batch: int, answers: int, readers: int):
    scheduler: Scheduler[str, int] = Scheduler(max_batch, answer_turns=3)
    for i in range(answers):
        scheduler.add_answer(f"answer {i}")
    for i in range(readers):
        scheduler.add_reader(i)
    turns = [scheduler.next_turn() for _ in range(4 * 6 * 6)]
    for ring, served in (
        (scheduler.answers, [job for turn in turns for job in turn.answers]),
        (scheduler.readers, [job for turn in turns for job in turn.readers]),
    ):
        counts = [served.count(job) for job in ring]
        assert all(count > 0 for count in counts)
        assert max(counts, default=0) - min(counts, default=0) <= 1
    assert all(len(turn.answers + turn.readers) <= max_batch for turn in turns)
    assert all(len(set(turn.readers)) == len(turn.readers) for turn in turns)
