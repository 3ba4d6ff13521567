from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from armt_client import Client
    from conftest import Run


@pytest.fixture
def session_id(client: Client) -> str:
    made = client.create_session()
    client.append(made.id, "Mary moved to the bathroom. " * 10)
    return made.id


def test_the_streamed_answer_is_the_whole_answer(armt: Run, client: Client, session_id: str) -> None:
    ran = armt("ask", "Where is Mary?", "--session", session_id, "--max-tokens", "12")
    assert ran.code == 0
    assert ran.err == ""
    answer = client.ask(session_id, "Where is Mary?", max_tokens=12).text
    assert ran.out == answer.lstrip() + "\n"


def test_several_questions_are_answered_each_after_its_own(armt: Run, session_id: str) -> None:
    alone = armt("ask", "Where is John?", "--session", session_id).out
    ran = armt("ask", "Where is Mary?", "Where is John?", "--session", session_id)
    assert ran.out.startswith("Where is Mary? ")
    assert ran.out.endswith(f"Where is John? {alone}")


def test_json_is_the_servers_reply_a_line_a_question(armt: Run, session_id: str) -> None:
    ran = armt("ask", "Where?", "Who?", "--session", session_id, "--json", "--max-tokens", "3")
    replies = [json.loads(line) for line in ran.out.split("\n") if line]
    assert [reply["object"] for reply in replies] == ["query", "query"]
    assert all(reply["session_id"] == session_id for reply in replies)
    assert all(reply["usage"]["completion_tokens"] <= 3 for reply in replies)


def test_verbose_tells_what_the_answer_took(armt: Run, session_id: str) -> None:
    ran = armt("ask", "Where is Mary?", "--session", session_id, "-v")
    assert " ms" in ran.err
    assert "memory resident" in ran.err
    assert "280 bytes" in ran.err


def test_options_reach_the_model(armt: Run, session_id: str) -> None:
    def sampled(seed: int) -> str:
        options = ["--temperature", "2", "--top-p", "1", "--max-tokens", "30", "--seed", str(seed)]
        return armt("ask", "Where is Mary?", "--session", session_id, *options).out

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    whole = sampled(1).strip()
    ran = armt(
        *("ask", "Where is Mary?", "--session", session_id, "--temperature", "2", "--seed", "1"),
        *("--max-tokens", "30", "--stop", whole[3:5]),
    )
    assert ran.out.strip() == whole[: whole.index(whole[3:5])].strip()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["Where?", "--session", "ses_unknown"], "error: Session not found: "),
        (["Where?", "--session", ""], "error: Cannot send this: '' is not a session id"),
    ],
)
def test_a_session_that_is_not_there_is_told(armt: Run, arguments: list[str], told: str) -> None:
    ran = armt("ask", *arguments)
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.startswith(told)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--max-tokens", "0"], "max_tokens"),
        (["--max-tokens", "99999"], "limit of this server"),
        (["--temperature", "-1"], "temperature"),
        (["--top-p", "0"], "top_p"),
        (["--seed", "-1"], "seed"),
        (["--stop", ""], "stop"),
    ],
)
def test_an_option_out_of_bounds_is_named(armt: Run, session_id: str, option: list[str], told: str) -> None:
    ran = armt("ask", "Where?", "--session", session_id, *option)
    assert ran.code == 1
    assert ran.err.startswith("error: Invalid request: ")
    assert told in ran.err


def test_an_empty_or_endless_question_is_refused(armt: Run, session_id: str) -> None:
    assert "error: Invalid request: " in armt("ask", "", "--session", session_id).err
    assert "error: Question too long: " in armt("ask", "where " * 1000, "--session", session_id).err
