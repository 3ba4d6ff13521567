"""Filler prose of our own: ordinary sentences about weather, journeys, letters and houses, without end.

A background to hide facts in where no books are at hand. A paragraph keeps a person, a companion and a
town for a few sentences. Its people, places and things are never those of the stories in `armt_lab.world`,
but they walk, carry and give as those do, so that noise is not told from facts by its verbs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

# `name = choice | choice`, indented lines go on with the rule. {name} is another rule, or the paragraph's:
# {who} (a name or a pronoun), {Name}, {he}, {his}, {him}, {Other} (the companion) and {Town}.
_RULES = """
sentence = {plain}. | {plain}. | {plain}. | {plain}. | {joined}. | {joined}. | {fronted}. | {speech}
    | {question}?
plain = {weather} | {travel} | {travel} | {letter} | {house} | {trade} | {meal} | {mind} | {carry}
    | {people} | {nature}
joined = {plain}, and {weather} | {plain}, but {mind} | {mind}, because {nature}
    | {weather}, so that {house} | {travel}, while {people} | {plain}; {weather} | {people}, though {mind}
    | when {weather}, {travel}
fronted = {time}, {plain} | {time}, {plain} | {time}, as {weather}, {travel} | in {Town}, {people}
    | long before {daytime}, {travel} | to {his} surprise, {nature} | as far as anyone could tell, {mind}

weather = the {wind} blew from {quarter} | it rained {manner} until {daytime}
    | a {tone} fog lay over the {land} | the sky was {tone} and {tone} | snow had fallen in the {height}
    | the {daytime} was {tone} and the {water} was {state} | the sun came out {manner}
    | clouds gathered above the {land} | there was thunder beyond the {height}
    | the frost had not yet left the {land} | no one in {Town} remembered a {season} so {tone}
    | the rain stopped at last
travel = {who} {went} to the {spot} | {who} {went} to the {spot} {manner}
    | {who} {went} to {Town} by {vehicle} | {who} and {Other} {went} to the {spot} together
    | {who} left the {spot} {time} | {who} waited at the {spot} for {Other}
    | the {vehicle} to {Town} was late | the road to {Town} led past a {tone} {building}
    | {who} was seen near the {spot} | {Other} had gone ahead to the {spot}
    | {who} crossed the {water} in a {tone} {vessel} | after {number} miles {who} rested beside the {water}
    | nobody met {him} on the way to the {spot}
letter = {who} wrote a {tone} letter to {Other} | a letter from {Town} arrived {time}
    | {who} read the {paper} twice | the {paper} spoke of {topic} and of little else
    | {who} kept the {paper} in a {tone} {container} | {Other} had not answered for {number} weeks
    | the ink on the {paper} was {state} | {who} signed the {paper} {manner}
    | there was news of {topic} from {Town} | {who} could not find the {paper} anywhere
house = the {building} stood {position} the {land} | the {part} of the {building} had been painted {colour}
    | {who} opened the {part} {manner} | smoke rose from the {building} | the {part} was {state}
    | {number} families lived in the {tone} {building} | {who} lit a {light} and closed the {part}
    | a {colour} {cloth} hung beside the {part} | the {building} belonged to {his} {relative}
    | the {furniture} smelled of {smell} | there was nothing in the {chamber} but a {tone} {furniture}
    | {who} mended the {part} with {material}
trade = the {worker} sold {goods} for {number} coins | {goods} were dear that {season}
    | {who} bought {goods} from the {worker} | the market at {Town} opened at {daytime}
    | {Other} owed the {worker} {number} shillings | the {worker} weighed the {goods} {manner}
    | {who} paid for the {goods} with a {tone} {coin} | there had been talk of {topic} among the {worker}s
meal = they ate {food} and {food} by the {light} | {who} poured the {drink} {manner}
    | the {food} tasted of {smell} | {Other} brought {food} from the {spot}
    | {who} had eaten nothing since {daytime} | supper was {food} with {drink}
    | the {worker} offered them {drink} | {who} cut the {food} with a {tone} knife
mind = {who} thought of {topic} | {who} could not forget the {spot} | {who} was {feeling} about {topic}
    | {Other} seemed {feeling} | {he} had never cared for {topic} | {who} remembered the {building} {manner}
    | {who} doubted whether {Other} understood {topic} | nothing made {him} so {feeling} as {topic}
    | {who} wished for a {tone} {season} | {he} hoped to see {Town} again
carry = {who} {took} the {item} {manner} | {who} {took} the {item} from the {furniture}
    | {who} {lost} the {item} near the {spot} | {who} {gave} the {item} to {Other}
    | {who} {gave} {his} {relative} a {tone} {item} | {Other} {lost} the {item}
    | the {item} lay on the {furniture} | {who} carried the {item} to the {spot}
    | {who} put the {item} into the {container}
people = the {worker} spoke {manner} about {topic} | {who} met the {worker} at the {spot}
    | {his} {relative} came from {Town} | the {worker} and the {worker} argued over {topic}
    | {Other} laughed {manner} | {who} taught the {relative} of the {worker} to read
    | {number} travellers slept at the {spot} | {who} had a {relative} in {Town}
    | the children played beside the {water} | the {worker} whistled at work
    | {Other} was known in {Town} as a {tone} {worker} | the bells of {Town} rang {manner}
nature = {number} {bird}s flew over the {land} | the {tree}s along the {water} were {colour}
    | a {beast} slept under the {tree} | the {water} ran {manner} below the {height}
    | {bird}s sang in the {tree}s | the {beast} followed {him} to the {spot}
    | the {season} had come early to the {land} | moss grew on the {part} of the {building}
    | the smell of {smell} filled the {land} | a {tone} light moved across the {height}
    | the {tree} had lost its leaves
speech = "{said}," said {Other}. | "{said}," {Name} answered {manner}. | "{asked}?" asked the {worker}.
    | "{said}," said {Name}, "and {said}." | "{asked}?" said {Other} {manner}.
said = the {vehicle} leaves at {daytime} | I have never been to {Town} | we have no {goods} left
    | you must speak to the {worker} | it will rain before {daytime} | my {relative} knows all about {topic}
    | the {part} is {state} | we shall want a {light} | nobody believes in {topic} now
    | I left the {item} at the {spot}
asked = have you seen my {item} | who lives in the {building} | is it far to {Town}
    | what do you know of {topic} | where did you buy the {goods} | when does the {vehicle} leave
    | will {Other} come to the {spot} | is the {part} {state}
question = who could have left the {item} at the {spot} | what was {topic} to {him}
    | had {Other} forgotten the {paper} | why did the {worker} look so {feeling}
    | was it the {wind}, or only the {beast}

time = one {tone} {daytime} | the next {daytime} | {number} days later | that {season} | before {daytime}
    | in the {season} | on the third {daytime} | every {daytime} | towards {daytime} | not long ago
    | for {number} weeks | once again
manner = slowly | quietly | with great care | without a word | at once | gladly | in a hurry | as usual
    | for an hour | all the while | in silence | very badly | with a sigh | once more | twice | patiently
    | against advice | softly
went = went | walked | moved | travelled | journeyed | went back | hurried | returned | rode | set out
    | wandered | drove
took = took | picked up | grabbed | got | lifted | found | fetched | borrowed
lost = dropped | left | put down | discarded | lost | forgot | hid
gave = gave | handed | passed | lent | sold | showed
wind = wind | breeze | gale | storm | east wind
quarter = the north | the south | the west | the sea | the hills | beyond the river
tone = quiet | dark | pale | heavy | cold | mild | small | long | bright | strange | old | narrow | broad
    | plain | gentle | grey | fine | rough | simple | distant | dusty | crooked | cheerful | early | ancient
    | empty
state = still | cracked | frozen | wet | dry | locked | broken | open | clean | faded | hidden | half gone
    | as good as new
colour = blue | green | white | red | brown | yellow | black | golden | silver
number = two | three | four | five | six | seven | nine | ten | twelve | twenty | forty | a hundred
daytime = morning | noon | evening | midnight | dawn | sunset | afternoon | nightfall
season = spring | summer | autumn | winter | harvest | year
land = valley | moor | meadow | marsh | field | common | forest | shore | plain | orchard
height = hills | mountains | cliffs | downs | uplands
water = river | lake | stream | canal | pond | sea | brook
spot = station | harbour | library | market | church | mill | inn | bridge | theatre | hospital | farm
    | post house | tower | museum | village | bakery | courthouse | lighthouse | quarry | well | crossroads
    | castle
building = house | cottage | barn | chapel | warehouse | hut | mansion | workshop | abbey | lodge
    | almshouse
chamber = attic | cellar | parlour | pantry | study | loft | gallery
part = door | roof | window | gate | chimney | staircase | wall | porch | shutter | floor | fence
position = at the edge of | beyond | in the middle of | above | on the far side of | not far from
furniture = table | chair | bench | shelf | cupboard | desk | bed | chest | stool | mantelpiece
container = drawer | box | basket | trunk | envelope | sack | jar
light = lamp | candle | lantern | fire | torch
cloth = curtain | coat | carpet | flag | shawl | blanket
material = rope | nails | clay | wire | a plank | plaster | straw
smell = pepper | smoke | tar | roses | damp wool | old paper | salt | hay | honey
vehicle = train | coach | cart | ferry | carriage | mail van | steamer
vessel = boat | barge | canoe | raft | ship
paper = letter | note | telegram | invitation | will | newspaper | map | receipt | poem
topic = the war | the election | the harvest | money | the weather | the new railway | music | the old days
    | geometry | the price of coal | marriage | the lost ship | politics | the flood | medicine | painting
    | the stars | ghosts | the strike
worker = baker | doctor | farmer | teacher | sailor | miller | tailor | lawyer | painter | porter | soldier
    | clerk | nurse | widow | blacksmith | captain | singer | judge | fisherman's son | engineer | innkeeper
goods = candles | wool | salt | barley | lace | timber | ribbons | copper | tea leaves | horseshoes | books
    | pottery | onions
coin = coin | banknote | shilling | farthing
food = bread | soup | cheese | pears | potatoes | trout | porridge | plums | roast goose | cake | cabbage
drink = tea | coffee | wine | cider | water | broth
feeling = angry | happy | uneasy | curious | tired | proud | ashamed | hopeful | sorry | calm | puzzled
    | anxious | content
item = umbrella | watch | hat | key | book | ring | violin | spade | purse | compass | photograph
    | pair of gloves | hammer | bottle | kettle | ladder | clock | suitcase | pencil | axe
relative = brother | sister | uncle | aunt | cousin | grandmother | nephew | niece | neighbour | godfather
bird = gull | crow | swallow | lark | heron | pigeon | owl
tree = oak | birch | elm | willow | chestnut tree | pine | ash tree
beast = dog | cat | horse | goat | donkey | fox | hare
woman = Harriet | Beatrice | Florence | Clara | Agnes | Winifred | Eleanor | Ottilie | Margaret | Ida | Judith
man = Edmund | Walter | Arthur | Hugh | Rupert | Gilbert | Leonard | Oscar | Theodore | Martin | Anselm
town = Ashford | Bellhaven | Corwick | Dunmere | Eastbridge | Farleigh | Holm | Lindale | Marlow | Thornby
"""
_PRONOUNS = {"he": ("she", "he"), "his": ("her", "his"), "him": ("her", "him")}
_LONGEST_PARAGRAPH = 8
_PRONOUN_CHANCE = 0.4


def _parsed(rules: str) -> dict[str, list[list[str]]]:
    """Rule -> choices; a choice alternates between literal text and the name of a rule or word."""
    return {
        name.strip(): [re.split(r"\{(\w+)\}", " ".join(choice.split())) for choice in choices.split(" | ")]
        for name, _, choices in (line.partition(" = ") for line in re.split(r"\n(?=\w)", rules.strip()))
    }


_GRAMMAR = _parsed(_RULES)
_WOMEN, _MEN, _TOWNS = ([choice for (choice,) in _GRAMMAR[rule]] for rule in ("woman", "man", "town"))


def sentences(rng: random.Random) -> Iterator[str]:
    """Sentences without end, each with the white space that follows it: a space or a blank line.

    Args:
        rng: every choice is drawn from it: the same seed writes the same text.
    """
    while True:
        female = rng.choice((True, False))
        name = rng.choice(_WOMEN if female else _MEN)
        words = {word: forms[0 if female else 1] for word, forms in _PRONOUNS.items()}
        words["Name"] = words["who"] = name
        words["Other"] = rng.choice([other for other in _WOMEN + _MEN if other != name])
        words["Town"] = rng.choice(_TOWNS)
        for left in reversed(range(rng.randint(2, _LONGEST_PARAGRAPH))):
            yield _written(words, rng) + (" " if left else "\n\n")
            words["who"] = words["he"] if rng.random() < _PRONOUN_CHANCE else name


def _written(words: dict[str, str], rng: random.Random) -> str:
    pieces: list[str] = []
    _expand("sentence", words, rng, pieces)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", "".join(pieces))
    start = 1 if text[0] == '"' else 0
    return text[:start] + text[start].upper() + text[start + 1 :]


def _expand(rule: str, words: dict[str, str], rng: random.Random, pieces: list[str]) -> None:
    choices = _GRAMMAR[rule]
    for i, part in enumerate(choices[int(rng.random() * len(choices))]):
        if not i % 2:
            pieces.append(part)
        elif part in words:
            pieces.append(words[part])
        else:
            _expand(part, words, rng, pieces)
