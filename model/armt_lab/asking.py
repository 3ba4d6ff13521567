"""Questions as tensors: several a row, each seeing the text before it and itself; and how they fared."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from armt.layout import Layout
from armt_lab.corpus import ANSWER, END, QUESTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

    from armt.model import ArmtModel
    from armt.state import MemoryState
    from armt_lab.pointing import Written
    from armt_lab.streams import Asked

IGNORED = -100
KEPT = 50_000
"""Sentences of stories whose ids are kept at hand: with published words all, with open ones the last."""


@dataclasses.dataclass(frozen=True)
class Asks:
    """Questions for each row of a batch, one after the other, the rows padded to one length.

    Attributes:
        ids: [batch, n].
        labels: [batch, n]; the id that should come next on answers, IGNORED elsewhere.
        owner: [batch, n] which question of the batch an id belongs to; -1 on padding.
        within: [batch, n] how many ids of its question stand before it.
        seen: [batch, n] how many ids of the row's text its question comes after.
        asked: the questions, row by row.
    """

    ids: Tensor
    labels: Tensor
    owner: Tensor
    within: Tensor
    seen: Tensor
    asked: Sequence[Asked]


@dataclasses.dataclass(frozen=True)
class Graded:
    """How questions fared.

    Attributes:
        loss: mean over answer tokens.
        right: for each question whether it was answered exactly, [questions] bool.
        asked: the questions.
        pointing: mean loss of what the memory was read with (`armt_lab.pointing`); None where no question
            had anything to point to.
    """

    loss: Tensor
    right: Tensor
    asked: Sequence[Asked]
    pointing: Tensor | None = None


class Asker:
    """Turns questions into ids, the way a prompt template does: QUESTION question ANSWER answer END."""

    def __init__(self, tokenizer: Tokenizer, device: torch.device) -> None:
        self._tokenizer, self._device = tokenizer, device
        self._marks = [tokenizer.encode(mark).ids[0] for mark in (QUESTION, ANSWER, END)]
        self._ids = lru_cache(KEPT)(self._encode_anew)

    def _encode(self, asked: Asked) -> tuple[list[int], int]:
        """The ids, and how many stand before the answer."""
        return self._ids(asked.blank, asked.question.text, asked.question.answer)

    def _encode_anew(self, blank: str, question: str, answer: str) -> tuple[list[int], int]:
        asks, answers, ends = self._marks
        encode = self._tokenizer.encode
        before = [*encode(blank).ids, asks, *encode(question).ids, answers]
        return [*before, *encode(" " + answer).ids, ends], len(before)

    def longer(self, row: Sequence[Asked], count: int) -> list[Asked]:
        """Those questions that have more than `count` ids, the marks before and behind them too."""
        return [asked for asked in row if self._encode(asked)[1] > count]

    def asks(self, rows: Sequence[Sequence[Asked]], first: int = 0, skip: int = 0) -> Asks:
        """Pad the rows' questions to tensors.

        Args:
            rows: the questions of each row.
            first: the place where the text before them starts.
            skip: ids left out at the beginning of each question.
        """
        columns: list[list[tuple[int, ...]]] = []
        asked = [a for row in rows for a in row]
        question = 0
        for row in rows:
            column: list[tuple[int, ...]] = []
            for one in row:
                encoded, before = self._encode(one)
                for i in range(skip, len(encoded) - 1):
                    label = encoded[i + 1] if i + 1 >= before else IGNORED
                    column.append((encoded[i], label, question, i - skip, one.place - first))
                question += 1
            columns.append(column)
        length = max(map(len, columns))
        padding = (self._marks[2], IGNORED, -1, 0, 0)
        table = torch.tensor(
            [column + [padding] * (length - len(column)) for column in columns], dtype=torch.long
        )
        ids, labels, owner, within, seen = table.view(len(rows), length, 5).to(self._device).unbind(-1)
        return Asks(ids, labels, owner, within, seen, asked)

    def begun(self, rows: Sequence[Sequence[Asked]], count: int) -> Tensor:
        """The first `count` ids of each row's first question, [batch, count]; END where there is none."""
        ids = torch.full((len(rows), count), self._marks[2])
        for r, row in enumerate(rows):
            if row:
                ids[r] = torch.tensor(self._encode(row[0])[0][:count])
        return ids.to(self._device)

    @staticmethod
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
        self,
        model: ArmtModel,
        text: Tensor,
        state: MemoryState,
        asks: Asks,
        written: Written | None = None,
    ) -> Graded:
        """Ask within and after `text` [batch, n] on memories `state`, which stay as they are.

        With `written`, which came before `text`, also how well the questions point into it.
        """
        if not asks.asked:
            return Graded(torch.zeros(()), torch.zeros(0, dtype=torch.bool), ())
        layout = self._layout(asks, model.config.overlap, text.shape[1])
        queries: list[Tensor] | None = None if written is None else []
        hidden = model.hidden(torch.cat((text, asks.ids), dim=1), state, layout=layout, queries=queries)
        wanted = asks.labels != IGNORED
        labels = asks.labels[wanted]
        logits = model.backbone.head(hidden[:, text.shape[1] :][wanted]).float()
        wrong = torch.zeros(len(asks.asked), dtype=torch.long, device=labels.device)
        wrong.index_add_(0, asks.owner[wanted], (logits.argmax(-1) != labels).long())
        pointing = None
        if written is not None and queries is not None:
            pointing = written.pointing(queries[0][:, -asks.ids.shape[1] :], asks)
        return Graded(F.cross_entropy(logits, labels), (wrong == 0).cpu(), asks.asked, pointing)
