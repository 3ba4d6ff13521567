"""Of how many questions the answer is right when the same facts stand as texts have them: lists, logs, mail.

    armt serve &
    python benchmarks/layouts.py [--server URL] [--stories 40] [--out benchmarks/results/layouts.json]

Stories of six facts in words that no fact in training had, each appended to a session of its own with a line
end behind the last fact, seven questions each.
"""

from __future__ import annotations

import argparse
import itertools
import random
from pathlib import Path
from typing import TYPE_CHECKING

from armt_client import Client
from armt_lab import evaluate, prose
from armt_lab.marks import wrapped
from armt_lab.words import GIVES, GRABS, HELD_OUT, MOVES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Facts = list[str]
    Layout = Callable[[Facts, random.Random], str]


def story(rng: random.Random) -> tuple[Facts, dict[str, str]]:
    """Its facts, without full stops, and questions with their answers."""
    giver, receiver, other = rng.sample(HELD_OUT.people, 3)
    shared, far, end = rng.sample(HELD_OUT.places, 3)
    thing = rng.choice(HELD_OUT.things)
    facts = [
        f"{giver} {rng.choice(GRABS)} the {thing}",
        f"{giver} {rng.choice(MOVES)} the {shared}",
        f"{receiver} {rng.choice(MOVES)} the {shared}",
        f"{other} {rng.choice(MOVES)} the {far}",
        f"{giver} {rng.choice(GIVES)} the {thing} to {receiver}",
        f"{receiver} {rng.choice(MOVES)} the {end}",
    ]
    return facts, {
        f"Where is {giver}?": shared,
        f"Where is {receiver}?": end,
        f"Where is {other}?": far,
        f"Where is the {thing}?": end,
        f"Who has the {thing}?": receiver,
        f"What did {giver} give to {receiver}?": thing,
        f"Who gave the {thing} to {receiver}?": giver,
    }


def each(before: str, behind: str) -> Layout:
    """Facts with something before and behind each of them."""
    return lambda facts, _rng: "".join(before + fact + behind for fact in facts)


def numbered(form: str) -> Layout:
    """Facts in a form with their number in it."""
    return lambda facts, _rng: "".join(form.format(n, fact) for n, fact in enumerate(facts, 1))


def mail(sentences: Iterable[str], width: int) -> str:
    """Sentences broken into lines."""
    return wrapped(" ".join(sentences), 0, width)[0]


def in_prose(facts: Facts, rng: random.Random) -> str:
    """Facts with a sentence of prose behind each, broken into lines."""
    between = itertools.islice(prose.sentences(rng), len(facts))
    return mail((f"{fact}. {sentence}" for fact, sentence in zip(facts, between, strict=True)), 72)


LAYOUTS: dict[str, Layout] = {
    "full stops, blanks between": each("", ". "),
    "full stops, lines": each("", ".\n"),
    "full stops, lines as Windows ends them": each("", ".\r\n"),
    "full stops, empty lines between": each("", ".\n\n"),
    "broken over lines of 30 to 60 characters": lambda facts, rng: mail(
        (f"{fact}." for fact in facts), rng.randint(30, 60)
    ),
    "the same with prose between, 72 characters": in_prose,
    "in quotation marks": each('"', '." '),
    "strings of JSON lines": each('{"text": "', '."}\n'),
    "lines that begin with a tab": each("\t", ".\n"),
    'lines that begin with "user:"': each("user: ", ".\n"),
    "lines that begin with a number and a comma": numbered("{},{}.\n"),
    "exclamation marks": each("", "! "),
    "a line for each, no full stop": each("", "\n"),
    "items of a list, no full stop": each("- ", "\n"),
    "semicolons and lines": each("", ";\n"),
    "semicolons alone": each("", "; "),
    "times in brackets before, no full stop": numbered("[12:0{}] {}\n"),
}


def right(client: Client, layout: Layout, stories: int) -> tuple[int, int]:
    """Answers that are right, and questions."""
    found = asked = 0
    for number in range(stories):
        rng = random.Random(f"layouts/{number}")
        facts, questions = story(rng)
        session = client.create_session().id
        client.append(session, layout(facts, rng).rstrip() + "\n")
        for question, truth in questions.items():
            found += evaluate.same(
                client.ask(session, question, max_tokens=evaluate.ANSWER_TOKENS).text.strip(), truth
            )
        asked += len(questions)
        client.delete_session(session)
    return found, asked


def main() -> None:
    """Read the command line, measure, print, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--stories", type=int, default=40)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = dict[str, int]()
    with Client(options.server) as client:
        model = client.models()[0]
        for name, layout in LAYOUTS.items():
            found[name], asked = right(client, layout, options.stories)
            print(f"{found[name]:4} of {asked}  {name}", flush=True)
    if options.out:
        evaluate.write(options.out, model=model, stories=options.stories, asked=asked, right=found)


if __name__ == "__main__":
    main()
