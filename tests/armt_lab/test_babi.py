from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from armt_lab import babi
from armt_lab.world import TASKS, Question, Step, story

if TYPE_CHECKING:
    from pathlib import Path

STORY = "1 Mary moved to the bathroom.\n2 Where is Mary?\tbathroom\t1\n3 John went to the hallway.\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "qa1_test.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_numbering_from_1_starts_a_story_and_supports_become_indices_of_facts(tmp_path: Path) -> None:
    text = STORY + "4 Where is John?\thallway\t3\n1 Daniel moved to the office.\n"
    first, second = babi.read(written(tmp_path, text))
    assert first == [
        Step(fact="Mary moved to the bathroom."),
        Step(question=Question("Where is Mary?", "bathroom", (0,))),
        Step(fact="John went to the hallway."),
        Step(question=Question("Where is John?", "hallway", (1,))),
    ]
    assert second == [Step(fact="Daniel moved to the office.")]


def test_a_sample_has_the_facts_before_its_question_and_no_earlier_question(tmp_path: Path) -> None:
    stories = babi.read(written(tmp_path, STORY + "4 Where is John?\thallway\t3\n"))
    mary, john = babi.samples(stories)
    assert mary == babi.Sample(("Mary moved to the bathroom.",), "Where is Mary?", "bathroom", (0,))
    assert john.facts == ("Mary moved to the bathroom.", "John went to the hallway.")
    assert (john.question, john.answer) == ("Where is John?", "hallway")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Mary moved.\n", "neither"),
        ("1 Where is Mary?\tbathroom\n", "neither"),
        ("1 Mary moved.\n\n2 John moved.\n", "neither"),
        ("2 Mary moved.\n", "2 where 1"),
        ("1 Mary moved.\n3 John moved.\n", "3 where 2 or 1"),
        ("1 Mary moved.\n2 Where is Mary?\toffice\t7\n", "7 supports"),
    ],
)
def test_a_line_out_of_the_format_is_refused_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(babi.BabiFormatError, match=rf"qa1_test\.txt:\d+: .*{reason}"):
        babi.read(written(tmp_path, text))


@pytest.mark.parametrize("part", ["train", "test"])
def test_every_published_file_is_read_whole(data_folder: Path, part: str) -> None:
    paths = sorted((data_folder / "babi" / part).glob("*.txt"))
    assert paths
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines()
        stories = babi.read(path)
        assert sum(map(len, stories)) == len(lines)
        assert sum(1 for _ in babi.samples(stories)) == sum("\t" in line for line in lines)


@pytest.mark.parametrize("task", TASKS)
def test_stories_of_our_own_world_give_samples_too(task: str) -> None:
    for sample in babi.samples([story(task, random.Random(1))]):
        assert all(0 <= i < len(sample.facts) for i in sample.support)
