"""Questions as tensors: several a row, each seeing the text before it and itself; and how they fared."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from armt.model import Layout
from armt_lab.corpus import ANSWER, END, QUESTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

    from armt.model import ArmtModel
    from armt.state import MemoryState
    from armt_lab.streams import Asked
    from armt_lab.world import Question

IGNORED = -100


@dataclasses.dataclass(frozen=True)
class Asks:
    """Questions for each row of a batch, padded to one length.

    Attributes:
        ids: [batch, questions, length].
        labels: [batch, questions, length]; the id that should come next on answers, IGNORED elsewhere.
        ages: [batch, questions] tokens since the fact; -1 where there is no question.
        kinds: of the questions there are, row by row.
    """

    ids: Tensor
    labels: Tensor
    ages: Tensor
    kinds: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Graded:
    """Mean loss over answer tokens; for each question, whether it was answered exactly, its age and kind."""

    loss: Tensor
    right: Tensor
    ages: Tensor
    kinds: Sequence[str]


class Asker:
    """Turns questions into ids, the way a prompt template does: QUESTION question ANSWER answer END."""

    def __init__(self, tokenizer: Tokenizer, device: torch.device) -> None:
        self._tokenizer, self._device = tokenizer, device
        self._marks = [tokenizer.encode(mark).ids[0] for mark in (QUESTION, ANSWER, END)]
        self._encoded: dict[tuple[str, str], tuple[list[int], int]] = {}
        self._layouts: dict[tuple[int, int, int], Layout] = {}

    def _encode(self, question: Question) -> tuple[list[int], int]:
        """The ids, and how many stand before the answer."""
        key = (question.text, question.answer)
        if key not in self._encoded:
            asks, answers, ends = self._marks
            before = [asks, *self._tokenizer.encode(question.text).ids, answers]
            ids = [*before, *self._tokenizer.encode(" " + question.answer).ids, ends]
            self._encoded[key] = ids, len(before)
        return self._encoded[key]

    def longer(self, row: Sequence[Asked], count: int) -> list[Asked]:
        """Those questions that have more than `count` ids, the marks before and behind them too."""
        return [asked for asked in row if self._encode(asked.question)[1] > count]

    def asks(self, rows: Sequence[Sequence[Asked]], questions: int, skip: int = 0) -> Asks:
        """Pad the rows' questions to tensors of `questions` each, without the first `skip` ids of each."""
        encoded = [[self._encode(a.question) for a in row] for row in rows]
        encoded = [[(ids[skip:], before - skip) for ids, before in row] for row in encoded]
        length = max((len(ids) for row in encoded for ids, _ in row), default=2) - 1
        shape = (len(rows), questions, length)
        ids = torch.full(shape, self._marks[2])
        labels = torch.full(shape, IGNORED)
        ages = torch.full(shape[:2], -1)
        for r, row in enumerate(encoded):
            for q, (tokens, before) in enumerate(row):
                n = len(tokens) - 1
                ids[r, q, :n] = torch.tensor(tokens[:-1])
                labels[r, q, before - 1 : n] = torch.tensor(tokens[before:])
                ages[r, q] = rows[r][q].age
        kinds = [a.kind for row in rows for a in row]
        return Asks(ids.to(self._device), labels.to(self._device), ages, kinds)

    def begun(self, rows: Sequence[Sequence[Asked]], count: int) -> Tensor:
        """The first `count` ids of each row's first question, [batch, count]; END where there is none."""
        ids = torch.full((len(rows), count), self._marks[2])
        for r, row in enumerate(rows):
            if row:
                ids[r] = torch.tensor(self._encode(row[0].question)[0][:count])
        return ids.to(self._device)

    def _layout(self, prefix: int, questions: int, length: int) -> Layout:
        """Each question stands right after the prefix and sees it and itself, not the other questions."""
        key = (prefix, questions, length)
        if key not in self._layouts:
            block = torch.arange(questions).repeat_interleave(length)
            owner = torch.cat((torch.full((prefix,), -1), block))
            within = torch.arange(length).repeat(questions)
            positions = torch.cat((torch.arange(prefix), prefix + within))
            sees = (owner[None, :] == owner[:, None]) | (owner[None, :] == -1)
            mask = sees & (positions[None, :] <= positions[:, None])
            self._layouts[key] = Layout(positions[None].to(self._device), mask[None, None].to(self._device))
        return self._layouts[key]

    def grade(self, model: ArmtModel, prefix: Tensor, state: MemoryState, asks: Asks) -> Graded:
        """Ask after `prefix` [batch, n] on memories `state`, which stay as they are."""
        batch, questions, length = asks.ids.shape
        layout = self._layout(model.config.overlap + prefix.shape[1], questions, length)
        hidden = model.hidden(torch.cat((prefix, asks.ids.flatten(1)), dim=1), state, layout=layout)
        labels = asks.labels.flatten(1)
        wanted = labels != IGNORED
        logits = model.backbone.head(hidden[:, prefix.shape[1] :][wanted]).float()
        loss = F.cross_entropy(logits, labels[wanted])
        wrong = torch.zeros_like(labels)
        wrong[wanted] = (logits.argmax(-1) != labels[wanted]).long()
        right = wrong.view(batch, questions, length).sum(-1) == 0
        asked = asks.ages >= 0
        return Graded(loss, right.cpu()[asked], asks.ages[asked], asks.kinds)
