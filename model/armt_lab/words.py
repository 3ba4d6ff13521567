"""The words of the stories: as published, those that are only asked after, and those kept from training."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Mapping

PEOPLE: Mapping[str, tuple[str, ...]] = {
    "qa1": ("Mary", "John", "Sandra", "Daniel"),
    "qa2": ("Mary", "John", "Sandra", "Daniel"),
    "qa3": ("Mary", "John", "Sandra", "Daniel"),
    "qa4": (),
    "qa5": ("Mary", "Bill", "Fred", "Jeff"),
}
"""Who acts in each task."""

EVERYONE = tuple(sorted({name for names in PEOPLE.values() for name in names}))

KINDS = ("people", "places", "things")
"""What there are words for."""

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

STRANGERS = ("Julie", "Victor", "Sophie", "Walter")
"""People of whom no story tells and after whom training never asks: to see whether it was learnt."""

MOVES = ("went to", "went back to", "moved to", "journeyed to", "travelled to")
GRABS = ("got", "took", "grabbed", "picked up")
DROPS = ("left", "discarded", "dropped", "put down")
GIVES = ("gave", "handed", "passed")
VERBS = (*MOVES, *GRABS, *DROPS, *GIVES)
"""Of every published fact of people."""
CARRIES = ("carried", "brought")
"""Never in published stories."""
OPPOSITE: Mapping[str, str] = {"north": "south", "south": "north", "east": "west", "west": "east"}
TASKS = tuple(PEOPLE)
ASIDES = ("before", "earlier", "brought", "holder", "carrying", "given", "beside", "subject", "object")
"""Kinds of questions that are steps towards those of a task.

Where somebody was before he came to a place, or a thing before it came to one where it is no longer, or to
any if the fact named both; who has a thing; what somebody carries; who gave what to whom, of any gift and not
the last alone; what is beside a room, of any row: in whatever words, or in those of the fact, after its
subject ("What is north of the garden?") or its object ("What is the hallway north of?").
"""

HANDS = "hands"
"""A kind whose answer is several things: it is not said, but what its memory gives can be taught."""

NONE = "nothing"
"""What somebody carries who has put down all he had."""

UNKNOWN = "unknown"
"""The answer to a question after somebody or something never named."""


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """Whom and what a story tells of.

    Attributes:
        people: who acts.
        places: where they go; for tasks about rooms the rooms.
        things: what they carry.
        nobody: people of whom it does not tell, to be asked after.
        nothing: things of which it does not tell.
    """

    people: tuple[str, ...]
    places: tuple[str, ...] = PLACES
    things: tuple[str, ...] = OBJECTS
    nobody: tuple[str, ...] = NOBODY
    nothing: tuple[str, ...] = NOTHING

    @property
    def beyond_published(self) -> frozenset[str]:
        """Those of the story's words that no published story has."""
        return frozenset((*self.people, *self.places, *self.things)) - {*EVERYONE, *PLACES, *OBJECTS}

    def published(self, task: str, rng: random.Random) -> Words:
        """The words of published stories of `task`, its people now and then those of other tasks.

        Strangers are whom and what no story tells of, and some of these words.
        """
        people = PEOPLE[task]
        return Words(
            _drawn(EVERYONE, len(people), rng) if rng.random() < EXCHANGED else people,
            nobody=(*EVERYONE, *NOBODY, *_drawn(self.people, len(NOBODY), rng)),
            nothing=(*NOTHING, *_drawn(self.things, len(NOTHING), rng)),
        )

    def cast(self, task: str, rng: random.Random, kinds: Collection[str] = KINDS) -> Words:
        """Of `kinds` as many of these words as a published story of `task` has, `ABSENT` others as strangers.

        The others are as published.
        """
        words = self.published(task, rng)
        if "people" in kinds:
            people, nobody = _parted(self.people, len(PEOPLE[task]), rng)
            words = dataclasses.replace(words, people=people, nobody=nobody)
        if "places" in kinds:
            words = dataclasses.replace(words, places=_parted(self.places, len(PLACES), rng)[0])
        if "things" in kinds:
            things, nothing = _parted(self.things, len(OBJECTS), rng)
            words = dataclasses.replace(words, things=things, nothing=nothing)
        return words


def _parted(
    words: tuple[str, ...], count: int, rng: random.Random
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`count` of the words, and `ABSENT` others."""
    drawn = _drawn(words, count + ABSENT, rng)
    return drawn[:count], drawn[count:]


def _drawn(words: tuple[str, ...], count: int, rng: random.Random) -> tuple[str, ...]:
    """`count` of the words, or all where they are fewer, in any order."""
    return tuple(rng.sample(words, min(len(words), count)))


EXCHANGED = 0.25
"""Share of stories of published words whose people are drawn from those of all tasks."""

ABSENT = 12
"""People and things drawn for a story of open words only to be asked after."""


# fmt: off
HELD_OUT = Words(
    people=(
        "Abigail", "Adele", "Alistair", "Amara", "Anton", "Astrid", "Aurora", "Barnaby", "Beatrix",
        "Bernard", "Bianca", "Boyd", "Bridget", "Bruno", "Callum", "Camilla", "Carmen", "Cedric",
        "Celeste", "Chester", "Chloe", "Clarissa", "Clement", "Conrad", "Cosima", "Cyril", "Dahlia",
        "Damian", "Daphne", "Darius", "Delia", "Derek", "Dexter", "Dominic", "Dorian", "Edgar", "Edith",
        "Elias", "Elspeth", "Enid", "Enzo", "Erica", "Esther", "Ethan", "Eugene", "Fabian", "Felicity",
        "Fergus", "Fiona", "Flora", "Gareth", "Gemma", "Gideon", "Gilbert", "Giselle", "Greta", "Gwen",
        "Hamish", "Hazel", "Hector", "Hilda", "Horace", "Imogen", "Ingrid", "Iris", "Ismael", "Jasper",
        "Jerome", "Joanna", "Jonas", "Juliet", "Kelvin", "Kirsten", "Lamar", "Lavinia", "Leonard",
        "Lionel", "Lorna", "Lucas", "Lydia", "Mabel", "Magnus", "Malcolm", "Marcel", "Melissa", "Miranda",
        "Mortimer", "Nadia", "Natasha", "Nigel", "Noel", "Nora", "Octavia", "Odette", "Oscar", "Owen",
        "Pamela", "Percy", "Petra", "Phoebe", "Quentin", "Rafael", "Ramona", "Regina", "Roland",
        "Rosalind", "Rupert", "Sabrina", "Selma", "Silas", "Stella", "Sylvia", "Tabitha", "Tessa",
        "Tobias", "Ursula", "Vera", "Vernon", "Wanda", "Yusuf",
    ),
    places=(
        "abbey", "airport", "alcove", "aquarium", "arcade", "archive", "arena", "armoury", "atrium",
        "attic", "bakery", "balcony", "bank", "barn", "barracks", "basement", "bazaar", "beach", "belfry",
        "boathouse", "brewery", "cabin", "cafe", "canteen", "casino", "cathedral", "cave", "cellar",
        "cemetery", "chapel", "cinema", "clinic", "cloister", "college", "conservatory", "corridor",
        "cottage", "courtyard", "crypt", "dairy", "depot", "diner", "dock", "dormitory", "embassy",
        "factory", "farm", "ferry", "forge", "fort", "fountain", "foyer", "gallery", "garage", "granary",
        "greenhouse", "grotto", "gymnasium", "hangar", "harbour", "hospital", "hostel", "hotel", "inn",
        "jetty", "kennel", "kiosk", "laboratory", "larder", "laundry", "library", "lighthouse", "lobby",
        "lodge", "mansion", "market", "meadow", "mill", "monastery", "mosque", "museum", "nursery",
        "observatory", "orchard", "palace", "pantry", "park", "parlour", "pavilion", "pharmacy", "pier",
        "playground", "port", "prison", "quarry", "restaurant", "sauna", "school", "shed", "shop",
        "stable", "stadium", "station", "studio", "supermarket", "tavern", "temple", "terrace", "theatre",
        "tower", "tunnel", "university", "vault", "veranda", "village", "warehouse", "wharf", "windmill",
        "workshop", "zoo",
    ),
    things=(
        "anchor", "apron", "axe", "bag", "ball", "bandage", "banner", "barrel", "battery", "bell", "belt",
        "bicycle", "blanket", "bottle", "bowl", "bracelet", "brick", "broom", "brush", "bucket", "cake",
        "camera", "cane", "cap", "cart", "chain", "chisel", "clock", "coin", "comb", "compass", "crown",
        "cushion", "diary", "drum", "envelope", "fan", "feather", "file", "flag", "flask", "flute",
        "fork", "glove", "glue", "goblet", "guitar", "hammer", "handkerchief", "harp", "helmet", "honey",
        "jacket", "jar", "jug", "kettle", "kite", "ladder", "lantern", "lemon", "lens", "loaf", "locket",
        "magnet", "marble", "mask", "medal", "mirror", "mop", "mug", "napkin", "necklace", "needle",
        "newspaper", "notebook", "onion", "orange", "paddle", "pan", "parcel", "pear", "pebble", "pen",
        "pencil", "phone", "piano", "pillow", "pipe", "plate", "plum", "potato", "purse", "puzzle",
        "radio", "rake", "razor", "ribbon", "rug", "sack", "saddle", "saw", "scarf", "scissors", "shawl",
        "shovel", "sponge", "stamp", "statue", "stone", "suitcase", "sword", "teapot", "telescope",
        "thimble", "ticket", "toy", "trumpet", "umbrella", "vase", "violin", "wallet", "whistle", "wig",
        "wrench",
    ),
)
# fmt: on
"""Words that no fact in training tells of: how a model does on them is how it does on yours."""
