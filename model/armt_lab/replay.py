"""Every question that a story answers, worked out from its sentences alone.

Slow and plain, and a second opinion on `armt_lab.scenes`, with which it shares no code: it reads the text,
looks back through all of it for each question, and keeps no state. Answers are question -> (answer,
supporting facts).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Answers = dict[str, tuple[str, tuple[int, ...]]]

_MOVE = re.compile(r"(\w+) (?:went|went back|moved|journeyed|travelled) to the (\w+)\.")
_CARRY = re.compile(
    r"(\w+) (?:carried|brought) (it|them|the \w+(?: and the \w+)*)(?: from the \w+)? to the (\w+)\."
)
_TOUCH = re.compile(
    r"(\w+) (got|took|grabbed|picked up|left|discarded|dropped|put down) the (\w+)(?: there)?\."
)
_GIVE = re.compile(r"(\w+) (?:gave|handed|passed) the (\w+) to (\w+)\.")
_LIE = re.compile(r"The (\w+) is (north|south|east|west) of the (\w+)\.")
_DROPS = ("left", "discarded", "dropped", "put down")
_OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}


def parse(fact: str) -> tuple[str, ...]:
    """One of: move, who, where, *what; grab or drop, who, what; give, who, what, to; lie, room, way, of.

    Raises:
        ValueError: it is no sentence of a task of `_TASKS`.
    """
    if found := _MOVE.fullmatch(fact):
        return ("move", found[1], found[2])
    if found := _CARRY.fullmatch(fact):
        return ("move", found[1], found[3], *re.findall(r"the (\w+)", found[2]))
    if found := _TOUCH.fullmatch(fact):
        return ("drop" if found[2] in _DROPS else "grab", found[1], found[3])
    if found := _GIVE.fullmatch(fact):
        return ("give", found[1], found[2], found[3])
    if found := _LIE.fullmatch(fact):
        return ("lie", found[1], found[2], found[3])
    raise ValueError(f"not a sentence of any task: {fact}")


def person_at(events: Sequence[tuple[str, ...]], who: str, now: int) -> tuple[str, int] | None:
    """(place, fact) of a person's last move before fact `now`."""
    moves = [i for i in range(now) if events[i][:2] == ("move", who)]
    return (events[moves[-1]][2], moves[-1]) if moves else None


def _names(event: tuple[str, ...], what: str) -> bool:
    return what in event[3:] if event[0] == "move" else event[2] == what


def thing_at(events: Sequence[tuple[str, ...]], what: str, now: int) -> tuple[str, int, int] | None:
    """(place, move, touch) of a thing, by who last had it in hand; None if that one's place is not told."""
    touches = [i for i in range(now) if _names(events[i], what)]
    if not touches:
        return None
    kind, who, *_ = last = events[touches[-1]]
    if kind == "give":
        who = last[3]
    place = person_at(events, who, touches[-1] if kind == "drop" else now)
    return (*place, touches[-1]) if place else None


def _where_is_person(events: Sequence[tuple[str, ...]]) -> Answers:
    found = {who: person_at(events, who, len(events)) for who in {event[1] for event in events}}
    return {f"Where is {who}?": (at[0], (at[1],)) for who, at in found.items() if at}


def _things(events: Sequence[tuple[str, ...]]) -> set[str]:
    return {event[2] for event in events if event[0] != "move"}


def _where_is_thing(events: Sequence[tuple[str, ...]]) -> Answers:
    found = {what: thing_at(events, what, len(events)) for what in _things(events)}
    return {
        f"Where is the {what}?": (at[0], tuple(sorted(at[1:])))
        for what, at in found.items()
        if at is not None
    }


def _stays(events: Sequence[tuple[str, ...]], what: str) -> list[tuple[str, int, int]]:
    """Where a thing was, one place after the other, each as `thing_at` gave it first."""
    stays: list[tuple[str, int, int]] = []
    for now in range(1, len(events) + 1):
        at = thing_at(events, what, now)
        if at and (not stays or stays[-1][0] != at[0]):
            stays.append(at)
    return stays


def _where_was_thing(events: Sequence[tuple[str, ...]]) -> Answers:
    answers: Answers = {}
    for what in _things(events):
        for (place, move, _), (here, *needed) in list(pairwise(_stays(events, what)))[-1:]:
            answers[f"Where was the {what} before the {here}?"] = (place, tuple(sorted([move, *needed])))
    return answers


def _where_was_thing_earlier(events: Sequence[tuple[str, ...]]) -> Answers:
    answers: Answers = {}
    for what in _things(events):
        stays = _stays(events, what)
        for (place, move, _), (here, *needed) in pairwise(stays):  # of several times the last one is meant
            if here != stays[-1][0]:
                answers[f"Where was the {what} before the {here}?"] = (place, tuple(sorted([move, *needed])))
    return answers


def _where_was_person(events: Sequence[tuple[str, ...]]) -> Answers:
    answers: Answers = {}
    for who in {event[1] for event in events}:
        moves = [i for i, event in enumerate(events) if event[:2] == ("move", who)]
        for before, here in pairwise(moves):  # of several times in a place the last one is meant
            answers[f"Where was {who} before the {events[here][2]}?"] = (events[before][2], (before, here))
    return answers


def _who_has_thing(events: Sequence[tuple[str, ...]]) -> Answers:
    answers: Answers = {}
    for i, (kind, who, what, *to) in enumerate(events):
        if kind == "drop":
            answers.pop(f"Who has the {what}?", None)
        elif kind == "move":
            answers |= {f"Who has the {thing}?": (who, (i,)) for thing in to}
        else:
            answers[f"Who has the {what}?"] = (to[0] if kind == "give" else who, (i,))
    return answers


def _what_is_carried(events: Sequence[tuple[str, ...]]) -> Answers:
    hands: dict[str, dict[str, int]] = {}
    answers: Answers = {}
    for i, (kind, who, what, *to) in enumerate(events):
        for one in (who,) if kind == "move" else (who, *to):
            held = hands.setdefault(one, {})
            if kind == "move":
                held.update(dict.fromkeys(to, i))
                if not to:
                    continue
            elif one in to or kind == "grab":
                held[what] = i
            else:
                del held[what]
            question = f"What is {one} carrying?"
            answers[question] = (" ".join(sorted(held)) or "nothing", tuple(sorted({*held.values(), i})))
    return answers


def _how_rooms_lie(events: Sequence[tuple[str, ...]]) -> Answers:
    def slots(event: tuple[str, ...]) -> set[tuple[str, str]]:
        _, room, way, other = event
        return {(other, way), (room, _OPPOSITE[way])}

    answers: Answers = {}
    for i, event in enumerate(events):
        if any(slots(event) & slots(e) or {event[1], event[3]} == {e[1], e[3]} for e in events[i + 1 :]):
            continue  # a newer fact says otherwise
        _, room, way, other = event
        for a, side, b in ((room, way, other), (other, _OPPOSITE[way], room)):
            answers[f"What is {side} of the {b}?"] = (a, (i,))
            answers[f"What is the {a} {side} of?"] = (b, (i,))
    return answers


def _as_told(events: Sequence[tuple[str, ...]], words: str) -> Answers:
    """Of how rooms lie, what is asked in the words of the fact that answers it."""
    answers = _how_rooms_lie(events)
    return {text: (a, (i,)) for text, (a, (i,)) in answers.items() if text == words.format(*events[i])}


def _who_gave(events: Sequence[tuple[str, ...]]) -> Answers:
    answers: Answers = {}
    for i, event in enumerate(events):
        if event[0] == "give":
            _, who, what, to = event
            answers |= {
                f"What did {who} give to {to}?": (what, (i,)),
                f"Who did {who} give the {what} to?": (to, (i,)),
                f"Who gave the {what} to {to}?": (who, (i,)),
                f"Who gave the {what}?": (who, (i,)),
                f"Who received the {what}?": (to, (i,)),
            }
    return answers


_TASKS: dict[str, Callable[[Sequence[tuple[str, ...]]], Answers]] = {
    "qa1": _where_is_person,
    "qa2": _where_is_thing,
    "qa3": _where_was_thing,
    "qa4": _how_rooms_lie,
    "qa5": _who_gave,
    "before": _where_was_person,
    "earlier": _where_was_thing_earlier,
    "brought": lambda events: _where_was_thing(events) | _where_was_thing_earlier(events),
    "holder": _who_has_thing,
    "carrying": _what_is_carried,
    "hands": _what_is_carried,
    "given": _who_gave,
    "beside": _how_rooms_lie,
    "subject": lambda events: _as_told(events, "What is {2} of the {3}?"),
    "object": lambda events: _as_told(events, "What is the {1} {2} of?"),
}


def answers(task: str, facts: Sequence[str]) -> Answers:
    """Every question of the task, or kind of aside, that `facts` answer, with its answer and support."""
    return _TASKS[task]([parse(fact) for fact in facts])
