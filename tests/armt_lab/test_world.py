from __future__ import annotations

import random
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armt_lab import babi
from armt_lab.replay import answers, parse, person_at, thing_at
from armt_lab.words import EVERYONE, HANDS, HELD_OUT
from armt_lab.world import OBJECTS, PEOPLE, PLACES, TASKS, UNKNOWN, Habits, Step, World, story

if TYPE_CHECKING:
    from pathlib import Path

seeds = st.integers(0, 2**32)


def published(data_folder: Path, task: str, part: str) -> list[list[Step]]:
    (path,) = (data_folder / "babi" / part).glob(f"{task}_*.txt")
    return babi.read(path)


def text(step: Step) -> str:
    return step.question.text if step.question else str(step.fact)


def last_word(question: str) -> str:
    return question.removesuffix("?").split()[-1]


def told_of(facts: list[str]) -> set[str]:
    """Every whole word of the facts: a story of a pencil tells of no pen."""
    return set(re.findall(r"\w+", " ".join(facts)))


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_the_world_asks_just_what_a_replay_of_its_sentences_can_answer_and_with_the_same_answers(
    task: str, seed: int
) -> None:
    world = World(task, random.Random(seed))
    facts: list[str] = []
    for _ in range(40):
        facts.append(world.fact())
        asked = {q.text: (q.answer, q.support) for q in world.questions()}
        assert asked == answers(task, facts)


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    habits=st.sampled_from([Habits(), Habits(busy=0.5), Habits(busy=0.3, named=0.5, whence=0.5, hinted=0.5)]),
)
def test_what_training_asks_besides_has_right_answers_too(task: str, seed: int, habits: Habits) -> None:
    world = World(task, random.Random(seed), habits=habits)
    facts: list[str] = []
    for _ in range(40):
        facts.append(world.fact())
        for kind, question in ((kind, q) for kind, asked in world.asks().items() for q in asked):
            if kind == UNKNOWN:
                assert question.answer == UNKNOWN
                assert last_word(question.text) not in told_of(facts)
            else:
                answer = " ".join(
                    sorted((question.answer, *question.along) if kind == HANDS else (question.answer,))
                )
                assert answers(kind, facts)[question.text] == (answer, question.support)


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_a_story_of_other_words_is_told_and_asked_as_one_of_the_published(task: str, seed: int) -> None:
    rng = random.Random(seed)
    words = HELD_OUT.cast(task, rng)
    world = World(task, rng, words, Habits(busy=0.5))
    facts: list[str] = []
    for _ in range(40):
        facts.append(world.fact())
        assert {q.text: (q.answer, q.support) for q in world.questions()} == answers(task, facts)
        for question in world.asks().get(UNKNOWN, []):
            assert last_word(question.text) not in told_of(facts)
    told = told_of(facts)
    assert not told & {*PLACES, *OBJECTS, *EVERYONE}
    assert told & {*words.people, *words.places}


@pytest.mark.parametrize("task", ["qa2", "qa3", "qa5"])
def test_in_a_busy_world_more_is_done_with_things(task: str) -> None:
    def walks(busy: float) -> int:
        world = World(task, random.Random(0), habits=Habits(busy=busy))
        return sum(" to the " in world.fact() for _ in range(300))

    assert walks(0.8) < walks(0.0) / 2


def test_a_move_can_name_what_is_carried_or_hint_at_it_and_say_whence() -> None:
    def moves(habits: Habits) -> list[str]:
        world = World("qa3", random.Random(0), habits=habits)
        return [fact for fact in (world.fact() for _ in range(600)) if " to the " in fact]

    named = [fact for fact in moves(Habits(named=0.5)) if parse(fact)[3:]]
    whence = [fact for fact in moves(Habits(named=0.5, whence=1.0)) if " from the " in fact]
    hinted = [fact for fact in moves(Habits(hinted=0.5)) if " it to the " in fact]
    assert min(len(named), len(whence), len(hinted)) > 20
    assert not any(parse(fact)[3:] for fact in moves(Habits(busy=0.5)))


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_a_question_is_tricky_where_nobody_who_had_the_thing_came_to_the_place_from_the_answer(
    seed: int,
) -> None:
    world = World("qa3", random.Random(seed))
    facts: list[str] = []
    for _ in range(60):
        facts.append(world.fact())
        came_from = {text: answer for text, (answer, _) in answers("before", facts).items()}
        for question in world.questions():
            thing, place = re.findall(r"the (\w+)", question.text)
            carrier = parse(facts[question.support[-1]])[1]
            held_by = [who for kind, who, what, *_ in map(parse, facts) if kind != "move" and what == thing]
            ways = [came_from.get(f"Where was {who} before the {place}?") for who in (carrier, held_by[-1])]
            assert question.tricky == (question.answer not in ways)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_a_question_after_a_gift_is_tricky_where_it_had_another_answer_or_something_was_done_since(
    seed: int,
) -> None:
    world = World("qa5", random.Random(seed), habits=Habits(busy=0.5))
    had: dict[str, dict[int, str]] = {}
    facts: list[str] = []
    for _ in range(60):
        facts.append(world.fact())
        for question in world.questions():
            had.setdefault(question.text, {})[question.support[-1]] = question.answer
            newest_two = [*had[question.text].values()][-2:]
            since = [parse(fact) for fact in facts[question.support[-1] + 1 :]]
            done = {name for kind, *names in since if kind != "move" for name in names}
            named = done & set(re.findall(r"\w+", question.text)) & {*EVERYONE}
            assert question.tricky == (len({*newest_two}) > 1 or bool(named))


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_where_a_thing_is_and_who_has_it_is_tricky_where_it_was_given_last_for_who_took_it_has_it_no_longer(
    seed: int,
) -> None:
    world = World("qa5", random.Random(seed), habits=Habits(busy=0.5))
    last: dict[str, str] = {}
    for _ in range(60):
        kind, *names = parse(world.fact())
        if kind != "move":
            last |= dict.fromkeys(names, kind)
        asks = world.asks()
        for question in (*asks.get("qa2", []), *asks.get("holder", [])):
            assert question.tricky == (last[last_word(question.text)] == "give")
        for question in asks.get("carrying", []):
            assert question.tricky or last[question.text.split()[2]] != "give"


def test_of_a_gift_each_of_three_words_is_kept_under_the_other_two() -> None:
    world = World("qa5", random.Random(0), habits=Habits(busy=0.5))
    for _ in range(60):
        world.fact()
    asked = set()
    for question in world.questions():
        match question.text.removesuffix("?").split():
            case "What", "did", giver, "give", "to", receiver:
                form, about = "What", (giver, receiver)
            case "Who", "gave", "the", thing, "to", receiver:
                form, about = "Who to", (receiver, thing)
            case "Who", "did", giver, "give", "the", thing, "to":
                form, about = "To whom", (thing, giver)
            case _:
                form, about = "else", ()
        assert question.about == about
        asked.add(form)
    assert len(asked) == 4


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_what_follows_from_a_move_is_kept_with_all_that_was_carried_along(seed: int) -> None:
    world = World("qa3", random.Random(seed))
    facts: list[str] = []
    for now in range(60):
        facts.append(world.fact())
        newest = parse(facts[-1])
        had = {text: who for text, (who, _) in answers("holder", facts).items()}
        carried = {text.removesuffix("?").split()[-1] for text, who in had.items() if who == newest[1]}
        for question in (q for kind in ("qa2", "qa3") for q in world.asks().get(kind, [])):
            if question.support[-1] == now:
                kept = {question.about[0], *question.along}
                assert kept == (carried if newest[0] == "move" else {newest[2]})


@pytest.mark.parametrize("task", TASKS)
def test_the_replay_agrees_with_every_published_answer_and_support(data_folder: Path, task: str) -> None:
    for steps in published(data_folder, task, "test"):
        facts: list[str] = []
        for step in steps:
            if step.fact is not None:
                facts.append(step.fact)
            if step.question is not None:
                q = step.question
                assert answers(task, facts)[q.text] == (q.answer, q.support)


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_a_story_answers_its_questions_as_a_replay_does_and_ends_with_one(task: str, seed: int) -> None:
    steps = story(task, random.Random(seed))
    facts = [step.fact for step in steps if step.fact is not None]
    told = 0
    for step in steps:
        if step.question is None:
            told += 1
        else:
            q = step.question
            assert answers(task, facts[:told])[q.text] == (q.answer, q.support)
    assert steps[-1].question is not None
    assert len(steps) - len(facts) == (1 if task == "qa4" else 5)


@pytest.mark.parametrize("task", ["qa2", "qa3", "qa5"])
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_nobody_takes_what_is_elsewhere_or_parts_with_what_another_holds(task: str, seed: int) -> None:
    world = World(task, random.Random(seed))
    events: list[tuple[str, ...]] = []
    holder: dict[str, str | None] = {}
    for now in range(150):
        kind, who, what, *to = event = parse(world.fact())
        before = person_at(events, who, now)
        if kind == "move":
            assert before is None or before[0] != what
        elif kind == "grab":
            assert holder.get(what) is None
            there = thing_at(events, what, now)
            assert before is None or there is None or before[0] == there[0]
            holder[what] = who
        else:
            assert holder[what] == who
            receiver = person_at(events, to[0], now) if to else None
            assert before is None or receiver is None or before[0] == receiver[0]
            holder[what] = to[0] if to else None
        events.append(event)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_tells_the_same_story_and_another_seed_another(task: str) -> None:
    tell = [[World(task, rng).fact() for rng in [random.Random(seed)] * 9] for seed in (1, 1, 2)]
    assert tell[0] == tell[1] != tell[2]
    assert story(task, random.Random(3)) == story(task, random.Random(3))


@pytest.mark.parametrize("task", TASKS)
def test_every_answer_is_a_word_of_the_closed_vocabulary(task: str) -> None:
    world = World(task, random.Random(5))
    known = {*PLACES, *OBJECTS, *PEOPLE[task]}
    for _ in range(500):
        world.fact()
        assert {q.answer for q in world.questions()} <= known


@pytest.mark.parametrize("task", TASKS)
def test_its_words_are_the_published_words(data_folder: Path, task: str) -> None:
    ours, theirs = Counter[str](), Counter[str]()
    for counts, stories in (
        (ours, [story(task, random.Random(seed)) for seed in range(600)]),
        (theirs, published(data_folder, task, "train")),
    ):
        for step in (step for steps in stories for step in steps):
            counts.update(re.findall(r"\w+", text(step)))
    assert set(ours) == set(theirs)


@pytest.mark.parametrize("task", TASKS)
def test_its_mix_of_acts_and_the_length_of_its_stories_are_near_the_published_ones(
    data_folder: Path, task: str
) -> None:
    def shape(stories: list[list[Step]]) -> tuple[Counter[str], float]:
        acts = Counter(parse(step.fact)[0] for steps in stories for step in steps if step.fact)
        return acts, sum(map(len, stories)) / len(stories)

    acts, length = shape([story(task, random.Random(seed)) for seed in range(1000)])
    their_acts, their_length = shape(published(data_folder, task, "train"))
    assert length == pytest.approx(their_length, rel=0.1)
    assert set(acts) == set(their_acts)
    for act in acts:
        assert acts[act] / acts.total() == pytest.approx(their_acts[act] / their_acts.total(), abs=0.05)


def test_age_counts_the_facts_told_since_the_oldest_support() -> None:
    world = World("qa2", random.Random(1))
    while not world.questions():
        world.fact()
    (question, *_) = world.questions()
    age = world.age(question)
    assert age == world.count - 1 - min(question.support)
    world.fact()
    assert world.age(question) == age + 1


def test_a_long_story_keeps_few_questions_open() -> None:
    world = World("qa5", random.Random(1))
    for _ in range(5000):
        world.fact()
    pairs, things, people = 12, 3, 4
    assert len(world.questions()) <= pairs + 2 * things * people + 2 * things


def test_a_story_of_a_given_length_is_at_least_as_long() -> None:
    assert len(story("qa1", random.Random(0), length=200)) >= 200


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"qa9.*qa1, qa2"):
        World("qa9", random.Random(0))


def test_a_step_is_never_both_or_neither() -> None:
    with pytest.raises(ValueError, match="either"):
        Step()


def test_training_asks_after_any_gift_where_published_stories_ask_after_the_last() -> None:
    world = World("qa5", random.Random(0), habits=Habits(busy=0.5))
    for _ in range(60):
        world.fact()
    gifts = {kind: {question.support for question in world.asks()[kind]} for kind in ("qa5", "given")}
    assert gifts["qa5"] == {max(gifts["given"])}
    assert len(gifts["given"]) > 3
