from __future__ import annotations

import dataclasses
import itertools
import math
import random
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import TINY, drawer_of, trainer_in
from torch.nn import functional as F

from armt.copying import REACH
from armt.features import product
from armt.keys import Key
from armt_lab.asking import Asker
from armt_lab.pointing import TEMPERATURE, About, pointing
from armt_lab.recipe import Stage
from armt_lab.streams import Asked, Stream
from armt_lab.world import Question

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.asking import Asks
    from armt_lab.trainer import Trainer

STAGE = Stage(
    segment=24, segments=2, rows=4, tasks={"qa1": 1, "qa3": 1, "qa5": 1}, lookahead=0.0, pointing=1.0
)
SIZE = 60


@pytest.fixture
def trainer(runs: Path) -> Trainer:
    size = dataclasses.replace(TINY.size, memory_tokens=0, fold_tail=True)
    return trainer_in(runs, "pointing", recipe=dataclasses.replace(TINY, size=size, stages=(STAGE,)))


def asked(trainer: Trainer) -> tuple[torch.Tensor, list[list[Asked]]]:
    """What four stories tell, [4, SIZE], and questions after each."""
    streams = [Stream(drawer_of(trainer).source, STAGE, random.Random(row)) for row in range(4)]
    ids = torch.tensor([stream.peek(SIZE) for stream in streams])
    return ids, [stream.questions([SIZE] * 6) for stream in streams]


def of_places(rows: list[list[Asked]]) -> list[list[Asked]]:
    """Those questions that a single fact answers, behind the words that they share."""
    return [[one for one in row if one.fact and one.kind == "qa1"] for row in rows]


def places_of(asks: Asks) -> torch.Tensor:
    """Which of all queries, row by row, an answer's tokens are read with."""
    return asks.rows * asks.ids.shape[1] + asks.columns


def words_about(trainer: Trainer, asks: Asks) -> list[str]:
    """The last tokens of the words that the first answer is about, of itself, and of what moved along."""
    return [trainer.tokenizer.decode([asks.ids[0, i]]) for i in asks.about[0].tolist() if i >= 0]


def test_each_token_of_an_answer_points_to_itself_in_the_fact_that_gives_it(trainer: Trainer) -> None:
    ids, every_row = asked(trainer)
    rows = of_places(every_row)
    every = [one for row in rows for one in row]
    asks = Asker(trainer.tokenizer).asks(rows, first=SIZE, told=ids)
    answers = (asks.told > 0).any(dim=-1).nonzero().flatten().tolist()
    assert answers
    for answer in answers:
        row, question = asks.rows[answer], every[asks.questions[answer]]
        (place,) = (asks.told[answer] > 0).nonzero().flatten().tolist()
        assert question.fact is not None
        assert place in question.fact
        assert ids[row, place] == asks.labels[answer]
        told = trainer.tokenizer.decode(ids[row, question.fact.start : question.fact.stop].tolist())
        assert question.question.answer in told


def unnamed(phi: torch.Tensor, names: torch.Tensor | None = None) -> Key:
    """A key under which all is written but no word, and that names none."""
    nothing, looked = phi[..., :0], surely(*phi.shape[:2])
    return Key(phi, nothing if names is None else names, nothing, torch.ones_like(phi[..., :2]), looked)


def surely(batch: int, n: int) -> torch.Tensor:
    """`Key.looked` of halves that look at the right word, wherever that is."""
    return torch.zeros(batch, n, 2 * REACH)


@pytest.mark.parametrize(
    ("asks", "fact", "word", "reads"),
    [
        ("Where is Mary? kitchen", " Mary went to the kitchen.", " kitchen", {}),
        ("Where is Mary? kitchen", " Mary went to the kitchen.", " kitchen", {"behind": True}),
        ("Who has the milk? Mary", " Mary took the milk there.", " milk", {}),
        ("Who has the milk? Mary", " Mary took the milk there.", " milk", {"behind": True}),
        ("Who has the milk? Mary", " Mary took the milk there.", " Mary", {"both_ways": True}),
    ],
)
def test_an_answer_told_before_the_words_of_its_question_is_kept_at_the_last_of_them_unless_read_both_ways(
    trainer: Trainer, asks: str, fact: str, word: str, reads: dict[str, bool]
) -> None:
    question, answer = asks.rsplit(maxsplit=1)
    ids = trainer.tokenizer.encode(fact, add_special_tokens=False).ids
    span = range(3, 3 + len(ids))
    one = Asked("qa1", Question(question, answer, (0,)), 0, span.stop, "", is_open=False, fact=span)
    asker = Asker(trainer.tokenizer, **reads)
    found = asker.asks([[one]], span.stop + 2, told=torch.tensor([[0, 0, 0, *ids, 0, 0]]))
    first, *more, end = found.told
    piece = trainer.tokenizer.encode(word, add_special_tokens=False).ids[0 if word[1:] == answer else -1]
    at = 3 + ids.index(piece)
    places = range(at + 1, span.stop + 1) if "behind" in reads else [at]
    assert first.nonzero().flatten().tolist() == [*places]
    assert all(torch.equal(one, first) for one in more) or "behind" not in reads
    assert not end.any()


def test_what_is_kept_of_a_gift_under_two_words_is_told_as_soon_as_an_id_is_behind_it(
    trainer: Trainer,
) -> None:
    text = "Mary gave the milk to John."
    ids = trainer.tokenizer.encode(text, add_special_tokens=False).ids
    question = Question("Who gave the milk to John?", "Mary", (0,), about=("John", "milk"))
    one = Asked("qa5", question, 0, len(ids), "", is_open=False, fact=range(len(ids)))
    asker = Asker(trainer.tokenizer, behind=True)
    assert not asker.asks([[one]], len(ids), told=torch.tensor([ids])).told.any()
    *answer, end = asker.asks([[one]], len(ids) + 2, told=torch.tensor([[*ids, 0, 0]])).told.tolist()
    assert answer == [[1] * (len(ids) + 1) + [0]] * len(answer)
    assert not any(end)


def test_what_three_facts_give_points_anywhere_into_the_newest_and_older_ones_do_not_count(
    trainer: Trainer,
) -> None:
    text = ["Mary took the milk.", "Mary went to the garden.", "Mary went to the office."]
    facts = [trainer.tokenizer.encode(" " + fact, add_special_tokens=False).ids for fact in text]
    starts = [0, *itertools.accumulate(map(len, facts))]
    took, older, newest = (range(*ends) for ends in itertools.pairwise(starts))
    text_asked = "Where was the milk before the office?"
    question = Question(text_asked, "garden", (0, 1, 2), about=("milk", "office"))
    one = Asked("qa3", question, 0, newest.stop, "", is_open=False, fact=newest, older=[older])
    ids = torch.tensor([list(itertools.chain(*facts))])
    asks = Asker(trainer.tokenizer).asks([[one]], newest.stop, told=ids)
    *answer, end = asks.told.tolist()
    for marks in answer:
        assert marks == [0] * len(took) + [-1] * len(older) + [1] * len(newest)
    assert not any(end)
    assert words_about(trainer, asks) == [" milk", " office", " garden"]

    at = places_of(asks)
    queries = torch.zeros(*asks.ids.shape, 2)
    queries[..., 0] = 1
    keys = torch.zeros(1, ids.shape[1], 2)
    keys[:, newest[0]] = keys[:, older[0]] = torch.tensor([0.2, 0.0])
    elsewhere = torch.zeros_like(keys)
    loss, count = pointing(
        [unnamed(queries), unnamed(queries)], [unnamed(elsewhere), unnamed(keys)], at, asks
    )
    assert count == len(answer)
    shares = torch.tensor([math.exp(0.2 / TEMPERATURE), len(newest) - 1, len(took)])
    assert loss.item() == pytest.approx(-math.log(shares[:2].sum() / shares.sum()), rel=1e-4)


def test_what_is_kept_under_one_word_is_asked_of_the_memory_before_the_last(trainer: Trainer) -> None:
    ids = trainer.tokenizer.encode(
        "Mary took the milk. Mary went to the garden.", add_special_tokens=False
    ).ids
    newest = range(len(ids) - 6, len(ids))
    question = Question("Where is the milk?", "garden", (0, 1), about=("milk",))
    one = Asked("qa2", question, 0, len(ids), "", is_open=False, fact=newest)
    asks = Asker(trainer.tokenizer).asks([[one]], len(ids), told=torch.tensor([ids]))
    assert words_about(trainer, asks) == [" milk", " the", " garden"]

    queries = unnamed(torch.ones(*asks.ids.shape, 1))
    nowhere = unnamed(torch.zeros(1, len(ids), 1))
    there = nowhere.phi.clone()
    there[:, newest[0]] = 1

    def loss(*kept: bool) -> float:
        keys = [unnamed(there) if here else nowhere for here in kept]
        return pointing(3 * [queries], keys, places_of(asks), asks)[0].item()

    nothing = loss(False, False, False)
    assert loss(False, True, False) < nothing
    assert loss(True, False, True) == nothing


def test_a_stream_knows_the_newest_fact_and_older_ones_that_gave_an_answer(trainer: Trainer) -> None:
    stage = dataclasses.replace(
        STAGE, tasks={"qa3": 1}, asks={"qa3": 1.0, "earlier": 1.0}, density=(0.9, 1.0)
    )
    found = 0
    for seed in range(8):
        stream = Stream(drawer_of(trainer).source, stage, random.Random(seed))
        ids = stream.peek(600)
        for one in stream.questions([600] * 8):
            if len(one.question.support) < 3:
                continue
            place = one.question.text.removesuffix("?").split()[-1]
            assert one.fact is not None
            for span in (one.fact, *one.older):
                assert trainer.tokenizer.decode(ids[span.start : span.stop]).endswith(f" {place}.")
                assert span.stop <= one.fact.stop
            found += bool(one.older)
    assert found


def test_what_is_kept_under_no_word_points_nowhere(trainer: Trainer) -> None:
    ids, rows = asked(trainer)
    asker = Asker(trainer.tokenizer)
    two = [[one for one in row if len(one.question.support) != 1 and not one.question.about] for row in rows]
    assert sum(map(len, two)) > 0
    assert all(one.fact is None for row in two for one in row)
    nowhere = [[dataclasses.replace(one, fact=None) for one in row] for row in rows]
    for of_rows, text in ((two, ids), (nowhere, ids), (rows, None)):
        assert not asker.asks(of_rows, first=SIZE, told=text).told.any()

    asks = asker.asks(nowhere, first=SIZE, told=ids)
    keys, queries = torch.ones(4, SIZE, 3), torch.ones(*asks.ids.shape, 3)
    loss, count = pointing([unnamed(queries)], [unnamed(keys)], places_of(asks), asks)
    assert (loss.item(), count.item()) == (0.0, 0)


def pointed(trainer: Trainer) -> tuple[Asks, torch.Tensor, torch.Tensor]:
    """Questions after single facts, `at`, and queries that are each the unit vector of the place to match."""
    ids, rows = asked(trainer)
    single = [[dataclasses.replace(one, older=()) for one in row] for row in of_places(rows)]
    asks = Asker(trainer.tokenizer).asks(single, first=SIZE, told=ids)
    at = places_of(asks)
    queries = torch.zeros(*asks.ids.shape, SIZE)
    queries.flatten(0, 1)[at] = (asks.told > 0).float()
    return asks, at, queries


def test_keys_that_are_all_alike_cost_as_much_as_a_guess_and_the_right_one_alone_nothing(
    trainer: Trainer,
) -> None:
    asks, at, queries = pointed(trainer)
    keys = torch.zeros(4, SIZE, SIZE)
    alike, count = pointing([unnamed(queries)], [unnamed(keys)], at, asks)
    assert alike.item() == pytest.approx(math.log(SIZE), abs=1e-4)
    assert count == (asks.told > 0).sum() > 0

    keys[:] = torch.eye(SIZE)
    right, _ = pointing([unnamed(queries)], [unnamed(keys)], at, asks)
    nothing = pytest.approx(math.log1p((SIZE - 1) * math.exp(-1 / TEMPERATURE)), abs=1e-4)
    assert right.item() == nothing


def test_what_one_fact_gives_is_to_be_found_by_its_key_and_the_words_of_it_in_any_one_memory(
    trainer: Trainer,
) -> None:
    asks, at, queries = pointed(trainer)
    keys = torch.eye(SIZE).expand(4, -1, -1)
    names = torch.cat((keys, keys), dim=-1)  # both halves name a word
    asked_for = torch.cat((queries, queries), dim=-1)
    silent = torch.zeros_like(names)
    right, _ = pointing([unnamed(queries)], [unnamed(keys)], at, asks)

    no_names, nothing = torch.zeros(len(at), 2 * SIZE), torch.zeros(len(at), SIZE)
    unused = About(no_names, nothing, no_names, nothing, nothing[:, :0])
    twice = 2 * [unnamed(queries, asked_for)]

    def loss(*written: Key) -> torch.Tensor:
        return pointing(twice, written, at, asks, unused)[0]

    there, nowhere = unnamed(keys, names), unnamed(torch.zeros_like(keys), silent)
    torch.testing.assert_close(loss(there, nowhere), 2 * right)
    torch.testing.assert_close(loss(nowhere, there), 2 * right)
    by_halves = (unnamed(keys, silent), unnamed(torch.zeros_like(keys), names))
    torch.testing.assert_close(loss(*by_halves), right + math.log(SIZE))


def test_what_is_derived_is_to_be_kept_and_asked_for_under_the_words_that_it_is_about(
    trainer: Trainer,
) -> None:
    facts = "Mary took the milk. Mary went to the garden. Mary went to the office."
    ids = trainer.tokenizer.encode(facts, add_special_tokens=False).ids
    newest = range(len(ids) - 6, len(ids))
    question = Question(
        "Where was the milk before the office?", "garden", (0, 1, 2), about=("milk", "office")
    )
    one = Asked("qa3", question, 0, len(ids), "", is_open=False, fact=newest)
    asks = Asker(trainer.tokenizer).asks([[one]], len(ids), told=torch.tensor([ids]))
    at, place = places_of(asks), newest[-1]
    first, second, answer, other = torch.eye(16)[:4]
    both, nothing = torch.cat((first, second)), torch.zeros(16)
    together = torch.cat((F.normalize(first + other, dim=0), second))

    def loss(
        asked_for: torch.Tensor = both,
        named: torch.Tensor = both,
        kept: torch.Tensor = answer,
        gate: float = 1.0,
        *,
        moved: torch.Tensor = both,
        learnt: torch.Tensor | None = None,
    ) -> float:
        """Where the key of the newest fact is of the words that it names, or of what was learnt instead."""
        names, words = torch.zeros(1, len(ids), 32), torch.zeros(1, len(ids), 16)
        names[:, place], words[:, place] = named, kept
        phi = product(names)
        if learnt is not None:
            phi[:, place] = learnt
        query = asked_for.expand(*asks.ids.shape, -1)
        queries = Key(
            product(query), query, torch.zeros(*query.shape[:2], 16), query[..., :0], surely(*query.shape[:2])
        )
        keys = Key(phi, names, words, torch.full((1, len(ids), 2), gate), surely(1, len(ids)))
        words = (both, product(both), moved, product(moved), answer)
        about = About(*(one.expand(len(at), -1) for one in words))
        return pointing([queries], [keys], at, asks, about)[0].item()

    right = loss()
    assert loss(asked_for=torch.cat((first, nothing))) > right + 0.5 / TEMPERATURE
    assert loss(named=torch.cat((first, nothing))) > right + 1
    assert loss(named=torch.cat((second, first))) > right + 1
    assert loss(kept=-answer) > right + 1 / TEMPERATURE
    assert loss(gate=0.5) == pytest.approx(right + 0.5 / TEMPERATURE, rel=1e-3)
    assert loss(learnt=-product(both)) > right + 2 / TEMPERATURE
    assert loss(moved=together, named=together) < loss(moved=together)


def test_the_place_that_keeps_the_answer_learns_to_name_its_words_rather_than_one_that_names_half_of_them(
    trainer: Trainer,
) -> None:
    ids = trainer.tokenizer.encode("Mary gave the milk to John.", add_special_tokens=False).ids
    question = Question("Who gave the milk to John?", "Mary", (0,), about=("John", "milk"))
    fact = range(len(ids))
    one = Asked("qa5", question, 0, len(ids), "", is_open=False, fact=fact)
    asks = Asker(trainer.tokenizer).asks([[one]], len(ids), told=torch.tensor([ids]))
    at = places_of(asks)
    john, milk, mary = torch.eye(16)[:3]
    both, nothing = torch.cat((john, milk)), torch.zeros(16)
    names, words = torch.zeros(1, len(ids), 32), torch.zeros(1, len(ids), 16)
    names[:, -1], words[:, -1] = torch.cat((nothing, milk)), john
    words[:, -2] = mary
    names.requires_grad_()
    query = both.expand(*asks.ids.shape, -1)
    queries = Key(
        product(query), query, torch.zeros(*query.shape[:2], 16), query[..., :0], surely(*query.shape[:2])
    )
    keys = Key(product(names.detach()), names, words, torch.ones(1, len(ids), 2), surely(1, len(ids)))
    about = About(*(part.expand(len(at), -1) for part in (both, product(both), both, product(both), mary)))

    pointing(3 * [queries], 3 * [keys], at, asks, about)[0].backward()

    assert names.grad is not None
    assert (names.grad[0] @ both).argmin() == len(ids) - 2


def test_both_halves_learn_to_look_at_their_words_in_the_fact_and_in_the_question(trainer: Trainer) -> None:
    def end(text: str) -> int:
        return len(trainer.tokenizer.encode(text, add_special_tokens=False).ids)

    fact = " Mary gave the milk to John."
    ids = trainer.tokenizer.encode(fact, add_special_tokens=False).ids
    question = Question("Who did Mary give the milk to?", "John", (0,), about=("milk", "Mary"))
    one = Asked("qa5", question, 0, len(ids), "", is_open=False, fact=range(len(ids)))
    asks = Asker(trainer.tokenizer, behind=True).asks([[one]], len(ids), told=torch.tensor([[*ids, 0]]))
    milk, mary, john = torch.eye(16)[:3]
    both, at, place = torch.cat((milk, mary)), places_of(asks), len(ids) - 1
    names, words = torch.zeros(1, len(ids) + 1, 32), torch.zeros(1, len(ids) + 1, 16)
    names[:, place], words[:, place] = both, john
    query = both.expand(*asks.ids.shape, -1)
    asking, keeping = surely(*asks.ids.shape).requires_grad_(), surely(1, len(ids) + 1).requires_grad_()
    queries = Key(product(query), query, torch.zeros(*query.shape[:2], 16), query[..., :0], asking)
    keys = Key(product(names), names, words, torch.ones(1, len(ids) + 1, 2), keeping)
    about = About(*(part.expand(len(at), -1) for part in (both, product(both), both, product(both), john)))

    pointing(3 * [queries], 3 * [keys], at, asks, about)[0].backward()

    assert asking.grad is not None
    assert keeping.grad is not None
    first, second = keeping.grad[0].view(-1, 2, REACH).unbind(1)
    assert first.nonzero().tolist() == [[place, place - end(" Mary gave the milk")]]
    assert second.nonzero().tolist() == [[place, place - end(" Mary")]]
    first, second = asking.grad[0].view(-1, 2, REACH).unbind(1)
    before = [column - 1 for column in asks.columns[(asks.told > 0).any(dim=-1)].tolist()]
    assert first.nonzero().tolist() == [[t + 1, t - end(" Who did Mary give the milk")] for t in before]
    assert second.nonzero().tolist() == [[t + 1, t - end(" Who did Mary")] for t in before]


def test_what_is_left_of_a_sum_is_to_be_given_by_the_first_memory_and_nothing_besides(
    trainer: Trainer,
) -> None:
    facts = "Mary took the milk. Mary took the apple. Mary dropped the milk."
    ids = trainer.tokenizer.encode(facts, add_special_tokens=False).ids
    newest = range(len(ids) - 5, len(ids))
    mary, milk, apple, nothing = *torch.eye(16)[:3], torch.zeros(16)
    names = torch.cat((mary, mary))

    def loss(answer: str, given: torch.Tensor, elsewhere: torch.Tensor = nothing) -> float:
        question = Question("What is Mary carrying?", answer, (1, 2), about=("Mary", "Mary"))
        one = Asked("carrying", question, 0, len(ids), "", is_open=False, fact=newest)
        asks = Asker(trainer.tokenizer).asks([[one]], len(ids), told=torch.tensor([ids]))
        words = ["Mary", "Mary"] + [answer] * (answer != "nothing")
        assert [word.strip() for word in words_about(trainer, asks)] == words
        at = places_of(asks)
        left = apple if answer == "apple" else nothing
        all_words = (names, product(names), names, product(names), left)
        about = About(*(part.expand(len(at), -1) for part in all_words))
        query = names.expand(*asks.ids.shape, -1)
        queries = [
            Key(
                product(query),
                query,
                code.expand(*asks.ids.shape, -1),
                query[..., :0],
                surely(*asks.ids.shape),
            )
            for code in (given, elsewhere, elsewhere)
        ]
        key = torch.zeros(1, len(ids), 32)
        keys = Key(product(key), key, key[..., :16], torch.ones(1, len(ids), 2), surely(1, len(ids)))
        return pointing(queries, 3 * [keys], at, asks, about)[0].item()

    right = loss("apple", apple)
    assert loss("apple", apple, elsewhere=milk) == right
    assert loss("apple", apple - 0.5 * milk) == pytest.approx(right + 0.25 / TEMPERATURE, rel=1e-3)
    assert loss("apple", 0.5 * apple) == pytest.approx(right + 0.25 / TEMPERATURE, rel=1e-3)
    assert loss("nothing", nothing) == pytest.approx(right, rel=1e-3)
    assert loss("nothing", apple) == pytest.approx(right + 1 / TEMPERATURE, rel=1e-3)


def test_what_one_fact_adds_to_a_sum_is_to_be_kept_whole_and_of_a_gift_at_the_id_behind_it(
    trainer: Trainer,
) -> None:
    def told_of(text: str, question: Question, behind: int = 1) -> list[int]:
        ids = trainer.tokenizer.encode(text + " Bill", add_special_tokens=False).ids
        fact = range(len(ids) - 1)
        one = Asked("carrying", question, 0, len(ids), "", is_open=False, fact=fact)
        told = torch.tensor([ids[: len(fact) + behind]])
        asks = Asker(trainer.tokenizer, behind=True).asks([[one]], len(ids), told=told)
        return asks.told[0].tolist()

    def carrying(who: str, answer: str, *support: int) -> Question:
        return Question(f"What is {who} carrying?", answer, support, about=(who, who))

    took, gave = "Mary took the milk.", "Mary gave the milk to John."
    size = len(told_of(took, carrying("Mary", "milk", 0)))
    assert told_of(took, carrying("Mary", "milk", 0)) == [2] * size
    assert told_of(took, carrying("Mary", "milk", 0, 1)) == [1] * size
    size = len(told_of(gave, carrying("John", "milk", 0)))
    assert told_of(gave, carrying("John", "milk", 0)) == [0] * (size - 1) + [2]
    assert told_of(gave, carrying("John", "milk", 0), behind=0) == [0] * (size - 1)
    assert told_of(gave, carrying("Mary", "nothing", 0)) == [1] * size


def test_what_is_added_to_a_sum_is_to_be_written_whole_whether_or_not_it_replaces_what_was_there(
    trainer: Trainer,
) -> None:
    ids = trainer.tokenizer.encode("Mary took the milk.", add_special_tokens=False).ids
    question = Question("What is Mary carrying?", "milk", (0,), about=("Mary", "Mary"))
    one = Asked("carrying", question, 0, len(ids), "", is_open=False, fact=range(len(ids)))
    asks = Asker(trainer.tokenizer).asks([[one]], len(ids), told=torch.tensor([ids]))
    at = places_of(asks)
    mary, milk = torch.eye(16)[:2]
    names = torch.cat((mary, mary))

    def loss(kept: torch.Tensor = milk, written: float = 1.0, replaced: float = 0.0) -> float:
        query = names.expand(*asks.ids.shape, -1)
        queries = Key(
            product(query), query, milk.expand(*asks.ids.shape, -1), query[..., :0], surely(*asks.ids.shape)
        )
        key, words = torch.zeros(1, len(ids), 32), torch.zeros(1, len(ids), 16)
        key[:, -1], words[:, -1] = names, kept
        gate = torch.tensor([written, replaced]).expand(1, len(ids), 2)
        keys = Key(product(key), key, words, gate, surely(1, len(ids)))
        all_words = (names, product(names), names, product(names), milk)
        about = About(*(part.expand(len(at), -1) for part in all_words))
        return pointing(3 * [queries], 3 * [keys], at, asks, about)[0].item()

    right = loss()
    assert loss(replaced=1.0) == right
    assert loss(written=0.5) == pytest.approx(right + 0.5 / TEMPERATURE, rel=1e-3)
    assert loss(kept=-milk) > right + 1 / TEMPERATURE


def test_what_moved_along_stands_behind_the_question_where_nothing_else_sees_it(trainer: Trainer) -> None:
    text = "Where is the milk?"
    along = Question(text, "garden", (0, 1), about=("milk",), along=("apple", "football"))
    alone = dataclasses.replace(along, along=())
    after = Question("Where is Mary?", "garden", (1,))

    def asks_of(*questions: Question) -> Asks:
        row = [Asked("qa2", one, 0, 9, "", is_open=False, fact=range(9)) for one in questions]
        return Asker(trainer.tokenizer).asks([row], 9, told=torch.ones(1, 9, dtype=torch.long))

    both, bare = asks_of(along, after), asks_of(alone, after)
    assert words_about(trainer, both) == [" milk", " the", " garden", " apple", " football"]
    assert words_about(trainer, bare) == [" milk", " the", " garden"]
    assert torch.equal(both.labels, bare.labels)
    assert torch.equal(both.owner.gather(1, both.columns[None]), both.questions[None])
    assert torch.equal(both.ids.gather(1, both.columns[None]), bare.ids.gather(1, bare.columns[None]))
    assert torch.equal(both.within.gather(1, both.columns[None]), bare.within.gather(1, bare.columns[None]))


def test_training_to_point_brings_queries_and_keys_of_a_fact_together(trainer: Trainer) -> None:
    def mean(steps: int) -> float:
        every = [trainer.train_step().pointing for _ in range(steps)]
        found = [loss for loss in every if loss is not None]
        return sum(found) / len(found)

    before = mean(8)
    mean(40)
    assert mean(8) < before
