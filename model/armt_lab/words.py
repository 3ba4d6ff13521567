"""The words of the stories, as published, and those that are only asked after."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PEOPLE: Mapping[str, tuple[str, ...]] = {
    "qa1": ("Mary", "John", "Sandra", "Daniel"),
    "qa2": ("Mary", "John", "Sandra", "Daniel"),
    "qa3": ("Mary", "John", "Sandra", "Daniel"),
    "qa4": (),
    "qa5": ("Mary", "Bill", "Fred", "Jeff"),
}
"""Who acts in each task."""

EVERYONE = tuple(sorted({name for names in PEOPLE.values() for name in names}))

PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
OBJECTS = ("apple", "football", "milk")
# fmt: off
NOBODY = (
    "Bill", "Fred", "Jeff", "Emma", "Anna", "Peter", "Paul", "Susan", "Alice", "Robert", "Thomas",
    "Henry", "Jane", "Elizabeth", "George", "Charles", "William", "James", "Edward", "Richard",
    "Arthur", "Frank", "Harry", "Lucy", "Kate", "Laura", "Helen", "Rose", "Grace", "Clara", "Agnes",
    "Martha", "Nancy", "Ralph", "Oliver", "Philip", "Simon", "Martin", "Hugh", "Tom", "Sam", "Ben",
    "Max", "Leo", "Nina", "Olga", "Ivan", "Boris",
)
NOTHING = (
    "lamp", "book", "hat", "key", "knife", "letter", "ring", "watch", "coat", "box", "basket",
    "candle", "cup", "spoon", "map", "rope",
)
# fmt: on
"""People and things of whom no story tells, but whom training asks after, so that `unknown` is learnt."""

MOVES = ("went to", "went back to", "moved to", "journeyed to", "travelled to")
GRABS = ("got", "took", "grabbed", "picked up")
DROPS = ("left", "discarded", "dropped", "put down")
GIVES = ("gave", "handed", "passed")
OPPOSITE: Mapping[str, str] = {"north": "south", "south": "north", "east": "west", "west": "east"}
TASKS = tuple(PEOPLE)
ASIDES = ("before", "holder")
"""Kinds of questions that are steps towards those of a task: where somebody was before, who has a thing."""

NO_HOLDER = "nobody"
"""Who has a thing that was put down."""

UNKNOWN = "unknown"
"""The answer to a question after somebody or something never named."""
