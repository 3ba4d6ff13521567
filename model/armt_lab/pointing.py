"""Teaching a question where in the memory its answer stands.

The gradient through a linear read says little of which key should have matched: names that were never seen
are not bound by it (docs/experiments.md, 14 and 15). So each token of an answer that one fact gives is also
to match the key that was written at that token of the fact better than any other that was written since:
cross entropy over phi(q) . phi(k) / `TEMPERATURE`, the InfoNCE loss of arXiv 1807.03748.

What follows from several facts is to match what the newest of them was written under, wherever in that fact:
if the question is about two words (where a thing was before a place) in the last memory, if about one (where
a thing is) in that before it. Keys of older facts that gave an answer to the same question are no others:
they are what it writes over, and so should be alike.

Where tokens are copied the words that keys name are to match by themselves too, for which word to name is of
use only if query and key agree on it (docs/experiments.md, 22). And what one fact gives may then be found in
any of the memories, for it answers several questions, and one token keeps one thing in each (27).

A match that is better than others is not yet one that gives all that was kept, or writes over all that was
before: a gate may stand half open (25). So what follows from several facts is to be kept whole, as the
answer's code, under the key that the words of its question alone make, and to be asked for by that. So are
what was given, who gave it and to whom, though one fact tells it: most stories are asked after their newest
gift, and a key of that, whoever gave it, is learnt first and is a short cut that stays. At the end of the
fact, where all is known of it, each memory can keep one of its words under two, and so at the token behind
it: what, by both people, the last; that before it who gave it, by what and to whom (31), and to whom, by what
and who gave it, in other halves of a key, for he may hand it on (32).

Which word a half names is a softmax, and once that is sure of a wrong one, what comes through the named code
is nothing: hundreds of steps moved none (33). So of a gift, and of what is added, both halves also learn by
cross entropy where the words stand that they are to name, in the question and in the fact.

Of several things that moved together the sum is to be the key: one token cannot be kept under each, and what
is kept under a sum is found by any of them, for they come from one place (26). So a key has to be linear in
a thing's code, and if it is about nothing else, its second half names the article. What is left of a sum
(what somebody carries) is to be given by the first memory, and nothing besides; and what one fact adds to it
is to be kept whole there (32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from armt.copying import REACH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from armt.keys import Key
    from armt_lab.asking import Asks

TEMPERATURE = 0.1


class About(NamedTuple):
    """What an answer that has `Question.about` is to be kept under, if tokens are copied.

    Attributes:
        names: the words that it is asked for by, as both halves of keys name them, [answers, d_mem].
        phi: the key that is of these words alone, [answers, d_key].
        kept_names, kept_phi: those that it is kept under: of all things that moved together the sum, in the
            place of the one that is asked after.
        answer: the code that is to be kept, or given, [answers, width].
    """

    names: Tensor
    phi: Tensor
    kept_names: Tensor
    kept_phi: Tensor
    answer: Tensor


def pointing(
    queries: Sequence[Key],
    keys: Sequence[Key],
    at: Tensor,
    asks: Asks,
    about: About | None = None,
) -> tuple[Tensor, Tensor]:
    """How far queries are from pointing to where each answer was told.

    Args:
        queries: of each memory, [batch, asks, ..].
        keys: what each was written with before, [batch, n, ..].
        at: [answers] which of all `queries`, row by row, an answer's tokens are read with.
        asks: what is taught of each answer: to match any key of a place that is 1 in `Asks.told` better than
            all that are 0. Of the last memory, if the second of the words that it is about stands behind the
            first in the question; of that before it, if before (where it is about one, the second is the
            article there); of the first, if it is about one twice; if about none of the first too or, where
            tokens are copied, of any.
        about: those words; None where tokens are not copied.

    Returns:
        The mean loss over those that have one to match, 0 where none has; and how many have.
    """
    told, words = asks.told, asks.about[:, :2]
    known = (told > 0).any(dim=-1)
    which = torch.where(words[:, 0] >= 0, 2 + (words[:, 1] - words[:, 0]).sign(), 0)[None]
    memories = [(queries[i], keys[i]) for i in (0, max(0, len(keys) - 2), 0, len(keys) - 1)]
    losses = torch.stack([_missed(_match(query.phi, key.phi, at), told) for query, key in memories])
    if about is not None:
        once = torch.stack([_found(query, key, at, told) for query, key in zip(queries, keys, strict=True)])
        one, two = (_under(*memories[i], at, asks, about) for i in (1, 3))
        added = _under(*memories[2], at, asks, about, replaces=False)
        left = _left(queries[0], at, about) + torch.where((told > 1).any(dim=-1), added, 0.0)
        losses = torch.stack([once.amin(dim=0), losses[1] + one, losses[2] + left, losses[3] + two])
    loss = losses.gather(0, which).squeeze(0)
    return torch.where(known, loss, 0.0).sum() / known.sum().clamp(min=1), known.sum()


def _match(queries: Tensor, keys: Tensor, at: Tensor) -> Tensor:
    """Of the queries `at` with their row's keys, [answers, n], over `TEMPERATURE`."""
    return (queries @ keys.mT).flatten(0, 1).index_select(0, at).float() / TEMPERATURE


def _missed(match: Tensor, told: Tensor) -> Tensor:
    """Cross entropy of `match` [answers, n] against any place that is 1 in `told`, [answers]."""
    every = match.masked_fill(told < 0, -torch.inf)
    right = match.masked_fill((told <= 0) & (told > 0).any(dim=-1, keepdim=True), -torch.inf)
    return every.logsumexp(dim=-1) - right.logsumexp(dim=-1)


def _found(query: Key, key: Key, at: Tensor, told: Tensor) -> Tensor:
    """How far an answer is from being found, by its key and by the words that this names, [answers]."""
    return _missed(_match(query.phi, key.phi, at), told) + _missed(
        _match(query.names / 2, key.names, at), told
    )


def _under(query: Key, key: Key, at: Tensor, asks: Asks, about: About, *, replaces: bool = True) -> Tensor:
    """How far an answer is from being kept whole under both words, and asked for by both, [answers].

    In the place of what is kept there, or with that. Where in the fact is for its places to say, by the words
    that they name and the one that they keep.
    """
    shape, told = query.names.shape, asks.told

    def of_rows(of_answers: Tensor) -> Tensor:
        rows = of_answers.new_zeros(shape[0] * shape[1], of_answers.shape[-1])
        return rows.index_copy(0, at, of_answers).view(*shape[:2], -1)

    match = _match(of_rows(about.kept_names) / 2, key.names, at)
    words = key.word.float()
    share = match + _match(of_rows(about.answer), words / words.norm(dim=-1, keepdim=True).clamp(min=1), at)
    share = share.masked_fill(told <= 0, -1e4).softmax(dim=-1)
    kept = (of_rows(share) @ words).flatten(0, 1).index_select(0, at)
    written = TEMPERATURE * _match(of_rows(about.kept_phi), key.gate[..., int(replaces), None] * key.phi, at)
    said = (kept * about.answer).sum(dim=-1) / kept.norm(dim=-1).clamp(min=1)
    # Not their product: of what is not written no word would be learnt, nor of another word to be written.
    alike = _asked(query, at, about) + (share * written).sum(dim=-1) + said
    rows, columns = at // shape[1], at % shape[1]
    unnamed = _unnamed(key, rows, share.argmax(dim=-1), asks.named)
    unnamed = unnamed + _unnamed(query, rows, columns, (asks.about[:, :2] + 1).where(asks.named >= 0, -1))
    return _missed(match, told) + (5 - alike) / TEMPERATURE - (share * match).sum(dim=-1) + unnamed


def _unnamed(key: Key, rows: Tensor, at: Tensor, words: Tensor) -> Tensor:
    """How far keys are from naming the words that end just before the places `words`, [answers].

    Args:
        key: of all rows.
        rows: [answers].
        at: [answers] which keys of these rows.
        words: [answers, 2]; where it is -1, or behind the key, or further back than REACH, nothing is taught.
    """
    back = at[:, None] - words
    looked = key.looked[rows, at].view(-1, 2, REACH)
    found = looked.gather(-1, back.clamp(0, REACH - 1).unsqueeze(-1)).squeeze(-1)
    return -torch.where((words >= 0) & (back >= 0) & (back < REACH), found, 0.0).sum(dim=-1)


def _left(query: Key, at: Tensor, about: About) -> Tensor:
    """How far what a memory gives is from the answer alone, or from nothing, [answers]."""
    given = query.word.flatten(0, 1).index_select(0, at)
    return (2 - _asked(query, at, about) + (given - about.answer).square().sum(dim=-1)) / TEMPERATURE


def _asked(query: Key, at: Tensor, about: About) -> Tensor:
    """How much an answer is asked for by the words of its question and them alone, up to 2, [answers]."""
    names, phi = (part.flatten(0, 1).index_select(0, at) for part in (query.names, query.phi))
    return (names * about.names).sum(dim=-1) / 2 + (phi * about.phi).sum(dim=-1)
