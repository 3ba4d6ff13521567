from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from armt_lab import babi, evaluate
from armt_lab.replay import answers
from armt_lab.words import EVERYONE, HELD_OUT, OBJECTS, PLACES, TASKS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("task", TASKS)
def test_a_published_story_told_in_held_out_words_has_the_same_answer_in_them(
    data_folder: Path, task: str
) -> None:
    samples = list(babi.samples(evaluate.read_stories(data_folder / "babi" / "test", task)))[:50]
    for sample in samples:
        other = evaluate.renamed(sample, random.Random(sample.question))
        assert answers(task, other.facts)[other.question] == (other.answer, sample.support)
        words = {word for text in (*other.facts, other.question) for word in re.findall(r"\w+", text)}
        assert not words & {*EVERYONE, *PLACES, *OBJECTS}
        assert other.answer in {*HELD_OUT.people, *HELD_OUT.places, *HELD_OUT.things}
