"""How questions fare, each seeing the text before it and itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import torch
from torch.nn import functional as F

from armt.copying import half
from armt.keys import Key
from armt.layout import Layout
from armt_lab.asking import IGNORED
from armt_lab.pointing import About, pointing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from armt.memory import AssociativeMemory
    from armt.model import ArmtModel
    from armt.state import MemoryState
    from armt_lab.asking import Asks


@dataclasses.dataclass(frozen=True)
class Graded:
    """How questions fared.

    Attributes:
        loss: mean over answer tokens.
        missed: [answers] bool, whether a token of an answer was not the likeliest; see `Asks.right`.
        pointing: mean loss of what the memory was read with, over those answer tokens that were told
            (`armt_lab.pointing`); None where it is not taught.
        pointed: how many of them there were.
    """

    loss: Tensor
    missed: Tensor
    pointing: Tensor | None = None
    pointed: Tensor | None = None


def _layout(asks: Asks, shown: int, text: int) -> Layout:
    """Each question stands where it is asked: it sees the text up to there, and itself.

    Args:
        asks: the questions.
        shown: ids before the text that are shown again.
        text: ids of the text.
    """
    prefix = shown + text
    stands = shown + asks.seen
    places = torch.arange(prefix, device=stands.device)
    batch, n = stands.shape
    mask = torch.zeros(batch, prefix + n, prefix + n, dtype=torch.bool, device=stands.device)
    mask[:, :prefix, :prefix] = places <= places[:, None]
    mask[:, prefix:, :prefix] = places < stands[:, :, None]
    mask[:, prefix:, prefix:] = (asks.owner[:, None, :] == asks.owner[:, :, None]) & (
        asks.within[:, None, :] <= asks.within[:, :, None]
    )
    positions = torch.cat((places.expand(batch, -1), stands + asks.within), dim=1)
    own = torch.arange(prefix, prefix + n, device=places.device).expand_as(stands)
    first = (torch.where(asks.within == 0, stands, own) - 1).clamp(min=-1)
    previous = torch.cat((places.expand(batch, -1) - 1, first), dim=1)
    return Layout(positions, mask[:, None], previous)


def grade(
    model: ArmtModel, text: Tensor, state: MemoryState, asks: Asks, keys: Sequence[Key] | None = None
) -> Graded:
    """Ask within and after `text` [batch, n] on memories `state`, which stay as they are.

    With the `keys` [batch, n, ..] that each memory was written with before `text`, also how well the answers
    point into them. Nothing here waits for the device.
    """
    layout = _layout(asks, model.config.overlap, text.shape[1])
    queries: list[Key] | None = None if keys is None else []
    hidden = model.hidden(torch.cat((text, asks.ids), dim=1), state, layout=layout, queries=queries)
    n = asks.ids.shape[1]
    at = asks.rows * n + asks.columns
    logits = model.head(hidden[:, -n:].flatten(0, 1).index_select(0, at)).float()
    answers = (asks.labels != IGNORED).sum().clamp(min=1)
    loss = F.cross_entropy(logits, asks.labels, ignore_index=IGNORED, reduction="sum") / answers
    missed = (logits.argmax(-1) != asks.labels) & (asks.labels != IGNORED)
    if keys is None or queries is None:
        return Graded(loss, missed)
    asked = [Key(*(part[:, -n:] for part in query)) for query in queries]
    about = None
    if model.words is not None:
        shown = torch.cat((state.recent, text, asks.ids), dim=1)
        about = _about(model, model.words(shown, layout)[:, -n:], asks)
    return Graded(loss, missed, *pointing(asked, keys, at, asks, about))


def _about(model: ArmtModel, own: Tensor, asks: Asks) -> About:
    """`asks.about` as a memory is to have it, of own codes [batch, n, width]."""
    memory = cast("AssociativeMemory", model.memories[-1])
    assert memory.copier is not None
    names = memory.copier.kept
    stand = (asks.rows * own.shape[1]).unsqueeze(1) + asks.about.clamp(min=0)
    words = own.flatten(0, 1)[stand] * (asks.about >= 0).unsqueeze(-1)
    thing, second, answer, *_ = words.unbind(1)
    along, is_sum = words[:, 3:].sum(dim=1), (asks.about[:, :1] == asks.about[:, 1:2])

    def of(first: Tensor) -> tuple[Tensor, Tensor]:
        both = half(first, names.width, 0), half(second, names.width, 1)
        named = names.of(torch.stack(both, dim=1)).flatten(-2)
        return named, memory.phi(named)

    return About(*of(thing), *of(thing + along * ~is_sum), answer + along * is_sum)
