from __future__ import annotations

import json
import random
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import pytest

from armt_client import Client, NotFound
from armt_lab import prose
from armt_lab.words import HELD_OUT, PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run

STORY = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary?\tbathroom\t1
4 Daniel went back to the hallway.
5 Sandra moved to the garden.
6 Where is Daniel?\thallway\t4
"""

ROOMS = """1 The hallway is south of the office.
2 The garden is north of the office.
3 What is south of the office?\thallway\t1
"""


@pytest.fixture
def shelf(tmp_path: Path) -> list[str]:
    """The options that name a folder of stories and one of books."""
    for folder in ("stories", "books"):
        (tmp_path / folder).mkdir()
    (tmp_path / "stories" / "qa1_single-supporting-fact_test.txt").write_text(STORY)
    (tmp_path / "stories" / "qa4_two-arg-relations_test.txt").write_text(ROOMS)
    text = "".join(islice(prose.sentences(random.Random(0)), 200))
    (tmp_path / "books" / "prose.txt").write_text(text)
    return ["--stories", str(tmp_path / "stories"), "--books", str(tmp_path / "books")]


def test_cells_are_told_in_a_table_and_written_with_a_picture(
    armt: Run, shelf: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "results" / "qa1.json"

    ran = armt(
        "eval", "babilong", *shelf, "--tokens", "0,300", "--questions", "2", "--strangers", "--out", out
    )

    assert ran.code == 0, ran.err
    result = json.loads(out.read_text())
    assert [(cell["tokens"], cell["questions"]) for cell in result["cells"]] == [(0, 2), (300, 2)]
    assert 200 * 2 < result["cells"][1]["mean_bytes"] < 300 * 8
    assert all(cell["right"] + len(cell["wrong"]) == 2 for cell in result["cells"])
    assert all(cell["asked"] >= 2 * 4 for cell in result["unknown"])
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "exact match %" in ran.out


@pytest.mark.parametrize("kinds", ["people", "people,places"])
def test_stories_can_be_told_in_held_out_words(
    armt: Run, shelf: list[str], tmp_path: Path, kinds: str
) -> None:
    out = tmp_path / "held-out.json"

    ran = armt(
        "eval", "babilong", *shelf, "--tokens", "0", "--questions", "2", "--held-out", kinds, "--out", out
    )

    assert ran.code == 0, ran.err
    result = json.loads(out.read_text())
    (cell,) = result["cells"]
    assert result["held_out"] == kinds.split(",")
    assert cell["right"] + len(cell["wrong"]) == 2
    for question, _, truth in cell["wrong"]:  # the model of these tests is a random one
        assert question.removeprefix("Where is ").removesuffix("?") in HELD_OUT.people
        assert truth in (HELD_OUT.places if "places" in kinds else PLACES)
    assert cell["wrong"]


def test_texts_can_be_broken_into_lines(armt: Run, shelf: list[str], tmp_path: Path) -> None:
    out = tmp_path / "lines.json"

    ran = armt(
        "eval", "babilong", *shelf, "--tokens", "0", "--questions", "2", "--columns", "40", "--out", out
    )

    assert ran.code == 0, ran.err
    result = json.loads(out.read_text())
    assert result["columns"] == 40
    assert result["cells"][0]["questions"] == 2


def test_words_of_which_there_are_none_held_out_are_refused(armt: Run, shelf: list[str]) -> None:
    ran = armt("eval", "babilong", *shelf, "--held-out", "people,verbs")

    assert ran.code == 2
    assert "people,verbs: give some of people,places,things" in ran.err


def test_a_stream_is_asked_after_everybody_at_each_mark(armt: Run, shelf: list[str], tmp_path: Path) -> None:
    out = tmp_path / "stream.json"

    ran = armt("eval", "stream", *shelf, "--marks", "400,1200", "--within", "200", "--out", out)

    assert ran.code == 0, ran.err
    ((first, second),) = json.loads(out.read_text())["streams"]
    assert {question for question, *_ in first["answers"]} == {
        f"Where is {name}?" for name in ("Mary", "John", "Daniel", "Sandra")
    }
    assert first["asked"] == second["asked"] == 4
    assert first["memory_bytes"] == second["memory_bytes"]
    assert second["bytes"] > 2 * first["bytes"]


def test_streams_of_several_tasks_end_in_one_table(armt: Run, shelf: list[str], tmp_path: Path) -> None:
    out = tmp_path / "streams.json"

    ran = armt(
        "eval", "stream", *shelf, "--tasks", "qa1,qa4", "--questions", "9", "--marks", "400", "--out", out
    )

    assert ran.code == 0, ran.err
    marks = [mark for (mark,) in json.loads(out.read_text())["streams"]]
    assert [(mark["task"], mark["asked"]) for mark in marks] == [("qa1", 4)] * 3 + [("qa4", 8)] * 2
    right = sum(mark["right"] for mark in marks[3:])
    assert f"{right}/16" in ran.out
    assert "mean" in ran.out


def timeless(result: dict[str, Any]) -> list[list[Any]]:
    """What of the marks does not depend on the machine."""
    names = ("task", "tokens", "bytes", "answers", "memory_bytes")
    return [[[mark[name] for name in names] for mark in reached] for reached in result["streams"]]


@pytest.mark.parametrize(("appends", "held"), [(0, 0), (0, 101), (1, 301), (2, 150)])
def test_streams_that_were_cut_off_go_on_at_the_very_byte(
    request: pytest.FixtureRequest, shelf: list[str], tmp_path: Path, appends: int, held: int
) -> None:
    armt, client, model = map(request.getfixturevalue, ("armt", "client", "model"))
    counts = ["--tokenizer", model / "tokenizer.json", "--marks", "400,1200", "--within", "200"]
    command = ["eval", "stream", *shelf, *counts, "--streams", "2", "--out"]
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    assert armt(*command, whole).code == 0
    append = Client.append
    number = count()

    def cut(self: Client, session: str, text: bytes | Iterator[str]) -> int:
        if next(number) < appends:
            return append(self, session, text)
        sent = text if isinstance(text, bytes) else "".join(text).encode()
        append(self, session, sent[:held])
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Client, "append", cut)
        assert armt(*command, part, "--resume").code != 0  # there is nothing to go on from, so it begins
    session = json.loads(part.read_text())["session"]

    ran = armt(*command, part, "--resume")

    assert ran.code == 0, ran.err
    assert timeless(json.loads(part.read_text())) == timeless(json.loads(whole.read_text()))
    with pytest.raises(NotFound):
        client.get_session(session)


def test_results_of_other_settings_are_not_gone_on_from(armt: Run, shelf: list[str], tmp_path: Path) -> None:
    out = tmp_path / "stream.json"
    command = ["eval", "stream", *shelf, "--within", "200", "--out", out, "--resume", "--marks"]
    assert armt(*command, "400").code == 0
    before = out.read_text()
    for wrong, told in (
        (["400", "--seed", "1"], "measured with seed 0, not 1"),
        (["400", "--tasks", "qa4"], "measured with tasks qa1, not qa4"),
        (["400,900"], "measured with marks 400, not 400,900"),
    ):
        ran = armt(*command, *wrong)
        assert ran.code == 2
        assert told in ran.err.replace("\n", " ")
    assert out.read_text() == before
    other = json.loads(before) | {"model": "another"}
    out.write_text(json.dumps(other))
    assert "measured with model another, not" in armt(*command, "400").err.replace("\n", " ")
    assert json.loads(out.read_text()) == other
    ran = armt("eval", "stream", *shelf, "--resume")
    assert ran.code == 2
    assert "--resume: say with --out" in ran.err


@pytest.mark.parametrize("command", ["babilong", "stream"])
def test_folders_without_stories_or_books_are_told(
    armt: Run, shelf: list[str], tmp_path: Path, command: str
) -> None:
    (tmp_path / "empty").mkdir()
    for wrong in (
        ["--stories", str(tmp_path / "empty"), *shelf[2:]],
        [*shelf[:2], "--books", str(tmp_path / "empty")],
    ):
        ran = armt("eval", command, *wrong)
        assert ran.code == 2
        assert "empty" in ran.err


def test_lengths_that_are_no_numbers_are_told(armt: Run, shelf: list[str]) -> None:
    ran = armt("eval", "babilong", *shelf, "--tokens", "4k")
    assert ran.code == 2
    assert "--tokens 4k: give whole numbers" in ran.err
