from __future__ import annotations

import dataclasses
import itertools
import random
import re
from typing import TYPE_CHECKING

import pytest
from tiny_run import TINY, drawer_of, trainer_in
from tokenizers import Tokenizer, models

from armt.text import StreamTokenizer
from armt_lab.corpus import as_within, encode_noise
from armt_lab.marks import LAYOUTS, MARKS, WIDTHS
from armt_lab.source import Source
from armt_lab.streams import FACT, NAMELESS, Stream
from armt_lab.words import (
    EVERYONE,
    HELD_OUT,
    NOBODY,
    NONE,
    NOTHING,
    OBJECTS,
    PLACES,
    STRANGERS,
    UNKNOWN,
    VERBS,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_in_view_of_a_segment_says_whether_a_fact_is(runs: Path) -> None:
    trainer = trainer_in(runs, "view")
    stream = Stream(drawer_of(trainer).source, TINY.stages[1], random.Random(3))
    stream.density = 0.3
    ids = stream.peek(400)
    assert [t.start for t in stream.told] == [0, *(t.end for t in stream.told)][:-1]
    for told in stream.told:
        text = trainer.tokenizer.decode(ids[told.start : min(told.end, 400)])
        if told.sentence < 0 and told.end <= 400:
            assert any(f" {place}." in text or f" {place} " in text for place in (*PLACES, *OBJECTS)), text
        assert told in stream.in_view(told.start, told.end)
        assert told not in stream.in_view(told.end, 400)
    stream.advance(200, keep=16)
    assert all(t.end > 184 for t in stream.told)


def test_what_is_told_of_nobody_by_name_is_no_fact(runs: Path) -> None:
    trainer = trainer_in(runs, "nameless")
    stage = dataclasses.replace(TINY.stages[1], nameless=0.5)
    stream = Stream(drawer_of(trainer).source, stage, random.Random(5))
    stream.density = 0.3
    ids = stream.peek(600)
    whole = [told for told in stream.told if told.end <= 600]
    assert {FACT, NAMELESS} < {told.sentence for told in whole}
    for told in whole:
        text = trainer.tokenizer.decode(ids[told.start : told.end])
        acted = any(f" {act} the " in text for act in VERBS)
        assert told.sentence != NAMELESS or acted, text
    assert len(stream.fact_ends) == sum(told.sentence == FACT for told in stream.told)


def test_stories_of_open_words_are_told_of_words_that_the_books_have_and_no_published_ones(
    runs: Path,
) -> None:
    trainer = trainer_in(runs, "open")
    source = dataclasses.replace(drawer_of(trainer).source, words=HELD_OUT)
    stage = dataclasses.replace(TINY.stages[0], open=0.5)
    stream = Stream(source, stage, random.Random(4))
    told = []
    for _ in range(60):
        stream.start_story()
        told.append(trainer.tokenizer.decode(stream.peek(60)))
    are_open = [any(name in text for name in HELD_OUT.people) for text in told]
    assert 15 < sum(are_open) < 45
    assert are_open == [not any(name in text for name in EVERYONE) for text in told]


def test_open_stories_may_keep_the_published_places_and_be_asked_for_nothing_that_has_to_be_spelled(
    runs: Path,
) -> None:
    trainer = trainer_in(runs, "renamed")
    source = dataclasses.replace(drawer_of(trainer).source, words=HELD_OUT)
    stage = dataclasses.replace(
        TINY.stages[0],
        open=1.0,
        renamed={"people": 0.7, "things": 0.7},
        spelled=False,
        tasks={"qa2": 1.0, "qa5": 1.0},
    )
    stream = Stream(source, stage, random.Random(7))
    questions = []
    for _ in range(40):
        stream.start_story()
        stream.peek(150)
        questions += [q for _, asks in stream.known for of_kind in asks.values() for q in of_kind]
    assert {q.answer for q in questions} <= {*EVERYONE, *PLACES, *OBJECTS, UNKNOWN, NONE}
    after = {q.text.strip("?").split()[-1] for q in questions}
    assert after & set(HELD_OUT.people)
    assert after & set(HELD_OUT.things)
    told = {q.text for q in questions if q.answer in PLACES}
    assert any(f"Where is the {thing}?" in told for thing in HELD_OUT.things)


def test_strangers_to_published_stories_are_people_and_things_of_the_books_too(runs: Path) -> None:
    trainer = trainer_in(runs, "strangers")
    source = dataclasses.replace(drawer_of(trainer).source, words=HELD_OUT)
    stage = dataclasses.replace(TINY.stages[0], tasks={"qa2": 1.0})
    stream = Stream(source, stage, random.Random(6))
    asked: set[str] = set()
    for _ in range(60):
        stream.start_story()
        stream.peek(100)
        for _, asks in stream.known:
            asked |= {question.text.strip("?").split()[-1] for question in asks.get(UNKNOWN, [])}
    for words in (NOBODY, NOTHING, HELD_OUT.people, HELD_OUT.things):
        assert len(asked & set(words)) > len(words) // 4
    assert not asked & set(STRANGERS)


def test_of_several_questions_drawn_the_one_with_the_oldest_facts_is_asked(runs: Path) -> None:
    trainer = trainer_in(runs, "drawn")
    stream = Stream(
        drawer_of(trainer).source, dataclasses.replace(TINY.stages[0], drawn=60), random.Random(5)
    )
    stream.peek(400)
    last = stream.known[-1][0]  # where all that the story told is known
    oldest = min(max(question.support) for question in stream.world.asks()["qa1"])
    asked = [asked for asked in stream.questions([last] * 20) if asked.kind == "qa1"]
    assert asked
    assert all(max(each.question.support) == oldest for each in asked)


def test_things_that_did_not_move_alone_can_be_asked_after_more_often(runs: Path) -> None:
    source = drawer_of(trainer_in(runs, "along")).source

    def share(along: float) -> float:
        stage = dataclasses.replace(
            TINY.stages[0], tasks={"qa3": 1.0}, asks={"qa3": 1.0}, asides=0.0, story=1e6, along=along
        )
        stream = Stream(source, stage, random.Random(5))
        stream.density = 1.0
        stream.peek(2000)
        found = [one.question for one in stream.questions(range(200, 2000, 20)) if one.kind == "qa3"]
        return sum(bool(question.along) for question in found) / len(found)

    assert share(along=0.05) < share(along=1.0) < share(along=20.0)


@pytest.mark.parametrize(
    "before", ["\n", "\n\n", '"', "(", "Noted:\n- \u201c", '{"note":"', "so\u2014", "7,", "\t"]
)
def test_a_word_is_the_tokens_that_it_is_behind_a_space_wherever_it_stands_first(
    runs: Path, before: str
) -> None:
    encode = StreamTokenizer(trainer_in(runs, "lines").tokenizer).encode
    within = encode(" Mary went.", begins=False)
    assert encode("Mary went.") == within
    assert encode(f"{before}Mary went.") == [*encode(before), *within]


def test_lines_end_alike_in_files_of_any_origin(runs: Path) -> None:
    encode = StreamTokenizer(trainer_in(runs, "origin").tokenizer).encode
    assert encode("Mary\r\nwent.\r\n\r\nThen") == encode("Mary\nwent.\n\nThen")


def test_facts_may_stand_within_marks_and_end_without_a_full_stop(runs: Path) -> None:
    trainer = trainer_in(runs, "marks")
    stage = dataclasses.replace(trainer.stage, density=(1.0, 1.0), marked=1.0)
    stream = Stream(drawer_of(trainer).source, stage, random.Random(0))
    stream.peek(4000)
    told = [trainer.tokenizer.decode(stream.ids[one.start : one.end]).lstrip() for one in stream.told]
    for before, behind in MARKS:
        assert any(one.startswith(before.strip()) and one.endswith(behind) for one in told)
    assert not any(one[0].isalpha() and one.endswith(".") for one in told)


def test_the_facts_of_a_story_may_stand_alike_as_the_lines_of_a_log_do(runs: Path) -> None:
    trainer = trainer_in(runs, "laid-out")
    stage = dataclasses.replace(trainer.stage, density=(1.0, 1.0), laid_out=1.0)
    seen = set()
    for seed in range(60):
        stream = Stream(drawer_of(trainer).source, stage, random.Random(seed))
        stream.peek(400)
        assert stream.mark is not None
        before, behind = stream.mark
        seen.add(stream.mark)
        decode = trainer.tokenizer.decode
        told = [decode(stream.ids[one.start : one.end]).lstrip() for one in stream.told]
        assert all(re.match(re.escape(before).replace(r"\#", r"\d"), one) for one in told)
        assert all(one.endswith(behind) for one in told)
        text = decode(stream.ids)
        assert "\n\n" not in text
        assert stream.ids == [*StreamTokenizer(trainer.tokenizer).encode(text)]
    assert seen == {*LAYOUTS}


def test_a_story_may_be_broken_into_lines_with_the_background_that_it_stands_in(runs: Path) -> None:
    trainer = trainer_in(runs, "wrapped")
    stage = dataclasses.replace(trainer.stage, density=(0.5, 0.5), wrapped=1.0)
    for seed in range(10):
        stream = Stream(drawer_of(trainer).source, stage, random.Random(seed))
        stream.separator = " "
        stream.peek(2000)
        text = trainer.tokenizer.decode(stream.ids).replace("\n ", "\n").removeprefix(" ")
        lines = text.split("\n")
        assert WIDTHS[0] <= stream.width <= WIDTHS[1]
        assert [line for line in lines if len(line) > stream.width] == [], stream.width
        for line, following in itertools.pairwise(text.split("\n\n")[0].split("\n")[1:]):
            assert len(f"{line} {following.split()[0]}") > stream.width
        assert stream.ids == [*StreamTokenizer(trainer.tokenizer).encode(text)]


def test_a_sentence_of_a_book_that_might_be_of_a_story_is_not_shown_again(tmp_path: Path) -> None:
    tokenizer = as_within(Tokenizer(models.BPE()))
    noise = encode_noise(
        tokenizer, [" John went to the prison.", " It rained.", " Joan gave the cup to him."], tmp_path
    )
    source = Source.of(tokenizer, noise, HELD_OUT)
    source.miss([0, 1, 2, 1])
    assert list(source.missed) == [1, 1]
