"""The oracle of copying.py and spelling.py: words that tokens pick, name and write, one after the other."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, cast

import torch

from armt.spelling import GOES_ON, LONGEST, NO_WORD, SURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.nn import Linear

    from armt.config import ArmtConfig
    from armt.copying import Copier, Names, Picks
    from armt.model import ArmtModel
    from armt.spelling import Words

EPSILON = 1e-5


class Seen(NamedTuple):
    """Tokens in view: x [n, d_model], the codes of the words that ended before them, what they heard."""

    x: Tensor
    own: Tensor
    heard: Tensor

    @staticmethod
    def of(x: Tensor) -> Seen:
        """Tokens of a model that copies none."""
        return Seen(x, x.new_zeros(len(x), 0), x.new_zeros(len(x), 0))

    def up_to(self, t: int) -> Seen:
        """Of them those up to the t-th."""
        return Seen(*(part[: t + 1] for part in self))


def code(config: ArmtConfig, i: int) -> Tensor:
    """The code of token id i, [copying]: signs that a hash of the id gives."""
    digest = blake2b(i.to_bytes(4, "little"), digest_size=max(1, config.copying // 8)).digest()
    bits = "".join(f"{byte:08b}" for byte in digest)[: config.copying]
    return torch.tensor([(1.0 if bit == "1" else -1.0) / config.copying**0.5 for bit in bits])


def bound(config: ArmtConfig, i: int, before: int | None) -> Tensor:
    """The code of an id that goes on with a word behind another, or of one that begins a word."""
    return code(config, i) if before is None else code(config, i) * code(config, before).sign()


def word(model: ArmtModel, ids: Sequence[int]) -> list[Tensor]:
    """The codes of the last id and of those before it that make up a word with it, in order, as bound."""
    words = cast("Words", model.words)
    found: list[Tensor] = []
    for i, before in zip(reversed(ids), [*reversed(ids[:-1]), None], strict=True):
        joined = before is not None and words.part[i] == GOES_ON and words.part[before] != NO_WORD
        found.insert(0, bound(model.config, i, before if joined else None))
        if not joined or len(found) == LONGEST:
            break
    return found


def ended(model: ArmtModel, ids: Sequence[int]) -> list[Tensor]:
    """The word before the last id, as `word` has it; nothing if it goes on with that."""
    return [] if len(word(model, ids[-2:])) > 1 else word(model, ids[:-1])


def say_next(model: ArmtModel, ids: Sequence[int], heard: Tensor, logits: Tensor) -> Tensor:
    """Logits of the token behind the last of ids, of what the blocks say and what that heard, [vocab]."""
    config, words = model.config, cast("Words", model.words)
    so_far = word(model, ids) if words.part[ids[-1]] != NO_WORD else []
    said = sum((turned(part, place) for place, part in enumerate(so_far)), heard * 0)
    loud = heard @ said / max(1, len(so_far))
    within = bool(so_far) and bool(loud > SURE * heard.norm())
    left = turned(heard / loud - said if within else heard, -len(so_far))
    last = ids[-1] if so_far else None
    found = torch.stack([left @ bound(config, i, last) for i in range(len(logits))])
    if not within:
        return logits + 40 * found
    more = 120 * (found - 0.5).relu() * torch.tensor([float(part == GOES_ON) for part in words.part])
    return (logits.clamp(max=20) if more.any() else logits) + more


def turned(code: Tensor, by: int) -> Tensor:
    """A code with its entries moved on by so many, round and round."""
    return torch.tensor([float(code[(i - by) % len(code)]) for i in range(len(code))])


def even(x: Tensor) -> Tensor:
    """A token over its root mean square."""
    return x / (x.square().mean() + EPSILON).sqrt()


def linear(gate: Linear, x: Tensor) -> Tensor:
    """The first number that it gives for x."""
    return gate.weight[0] @ x + gate.bias[0]


def picked(picks: Picks, which: int, m: Tensor, seen: Seen, prefers_itself: float = 0.0) -> Tensor:
    """The code of the word that a token picks, [copying].

    Args:
        picks: what it picks with.
        which: of its words.
        m: what the token is known by, [d_model].
        seen: the tokens up to it.
        prefers_itself: what is added to its own weight.
    """
    heads = slice(16 * which, 16 * which + 16)
    told, weights = [], []
    query = (picks.W_pq.weight @ even(m))[heads] / 4
    for s, (x, own, heard) in enumerate(zip(*seen, strict=True)):
        weight = query @ (picks.W_pk.weight @ even(x))[heads] - picks.far[which] * (len(seen.x) - 1 - s)
        if s == len(seen.x) - 1:
            weight = weight + prefers_itself
        share = torch.sigmoid(linear(picks.again, even(x)) - 2)
        told += [own, heard]
        weights += [weight.exp() * (1 - share)]
        weights += [(weight + query @ (picks.W_ph.weight @ even(x))[heads]).exp() * share]
    return torch.stack(weights) / sum(weights) @ torch.stack(told)


def naming(config: ArmtConfig, names: Names, key: Tensor, m: Tensor, seen: Seen) -> Tensor:
    """A key [d_mem] with the words put in that its halves name."""
    half = config.d_mem // 2
    halves = []
    for which, part in enumerate((key[:half], key[half:])):
        whole = picked(names.picks, which, m, seen)
        name = torch.tensor([float(whole[-1 - i if which else i]) for i in range(half)])
        name = name * (config.copying / half) ** 0.5
        name = name / max(1.0, float(name.norm()))
        share = torch.sigmoid((names.named.weight @ even(m) + names.named.bias)[which])
        halves.append((1 - share) * part / max(float(part.norm()), 1e-12) + share * name)
    return torch.cat((halves[0] * (1 + names.W_r.weight @ even(m)), halves[1]))


def word_written(copier: Copier, m: Tensor, seen: Seen) -> Tensor:
    """The code that a token writes behind its value, [copying]."""
    return picked(copier.picks, 0, m, seen, prefers_itself=4 + float(linear(copier.own, even(m))))
