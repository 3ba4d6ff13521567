"""Questions as tensors, several a row."""

from __future__ import annotations

import dataclasses
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from armt.text import StreamTokenizer
from armt_lab.corpus import ANSWER, END, QUESTION
from armt_lab.source import KEPT
from armt_lab.words import HANDS, NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

    from armt.config import ArmtConfig
    from armt_lab.streams import Asked, Topic

IGNORED = -100
"""What stands for a label where there is none."""

ARTICLE = "the"
"""With what a thing is named where a key is of it alone."""

ALONG = 2
"""How many things at most that moved along with one that is asked after are known to have."""


@dataclasses.dataclass(frozen=True)
class Asks:
    """Questions for each row of a batch, one after the other, the rows padded to one length.

    Attributes:
        ids: [batch, n].
        owner: [batch, n] which question of the batch an id belongs to; -1 on padding.
        within: [batch, n] how many ids of its question stand before it.
        seen: [batch, n] how many ids of the row's text its question comes after.
        rows, columns: [answers] where in `ids` the ids stand behind which one of an answer comes.
        labels: [answers] the id that comes there; IGNORED on padding, and where it is not to be said.
        questions: [answers] whose it is.
        told: [answers, places] int8, of the places where the row has written: 1 where an answer's id may be
            looked for, or 2 if one fact adds it to a sum, -1 where an older fact gave an answer to its
            question, else 0.
        about: [answers, 3 + ALONG] where in `ids` words end: of what has `Question.about` both by which it is
            kept (if it is but one, that and the article before it), the answer itself, if it is not `NONE`,
            and, behind the question, what the newest fact moved along with the first; -1 where there is none.
        named: [answers, 2] which of these places are next behind both words, in the fact that gives what is
            kept under them; -1 where several facts give it, or a word is not there.
        topics: what the questions are about, row by row.
    """

    ids: Tensor
    owner: Tensor
    within: Tensor
    seen: Tensor
    rows: Tensor
    columns: Tensor
    labels: Tensor
    questions: Tensor
    told: Tensor
    about: Tensor
    named: Tensor
    topics: Sequence[Topic]

    def right(self, missed: Tensor) -> list[bool]:
        """For each question whether it was answered exactly, by what `grade` gave of it, padded or not."""
        wrong = set(self.questions[missed[: len(self.questions)].to(self.questions.device)].tolist())
        return [question not in wrong for question in range(len(self.topics))]

    def map(self, change: Callable[[Tensor], Tensor]) -> Asks:
        """With every tensor changed."""
        names = (field.name for field in dataclasses.fields(self) if field.name != "topics")
        return Asks(**{name: change(getattr(self, name)) for name in names}, topics=self.topics)


class Asker:
    """Turns questions into ids, the way a prompt template does: QUESTION question ANSWER answer END."""

    def __init__(self, tokenizer: Tokenizer, *, both_ways: bool = False, behind: bool = False) -> None:
        """Of a model that reads both ways, and of one that has a word only behind it (`armt.spelling`)."""
        self._both_ways, self._behind = both_ways, behind
        self._encoded = StreamTokenizer(tokenizer).encode
        self._marks = [tokenizer.encode(mark).ids[0] for mark in (QUESTION, ANSWER, END)]
        self._ids = lru_cache(KEPT)(self._encode_anew)

    @classmethod
    def of(cls, tokenizer: Tokenizer, config: ArmtConfig) -> Asker:
        """For a model of this config."""
        return cls(tokenizer, both_ways=config.bidirectional, behind=config.copying > 0)

    def _encode(self, asked: Asked) -> tuple[list[int], int]:
        """The ids, and how many stand before the answer."""
        return self._ids(asked.blank, asked.question.text, asked.question.answer)

    def _encode_anew(self, blank: str, question: str, answer: str) -> tuple[list[int], int]:
        asks, answers, ends = self._marks
        encode = self._encoded
        before = [*encode(blank, begins=False), asks, *encode(question), answers]
        return [*before, *encode(" " + answer, begins=False), ends], len(before)

    def longer(self, row: Sequence[Asked], count: int) -> list[Asked]:
        """Those questions that have more than `count` ids, the marks before and behind them too."""
        return [asked for asked in row if self._encode(asked)[1] > count]

    def asks(
        self, rows: Sequence[Sequence[Asked]], first: int = 0, skip: int = 0, told: Tensor | None = None
    ) -> Asks:
        """Pad the rows' questions to tensors.

        Args:
            rows: the questions of each row.
            first: the place where the text before them starts.
            skip: ids left out at the beginning of each question.
            told: [batch, n] what stands before that, where answers are to point into it.
        """
        texts = [()] * len(rows) if told is None else told.tolist()
        columns: list[list[tuple[int, int, int, int]]] = []
        answers: list[tuple[int, int, int, int]] = []
        marked: list[Tensor] = []
        about: list[tuple[int, ...]] = []
        named: list[tuple[int, ...]] = []
        question = 0
        for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
            column: list[tuple[int, int, int, int]] = []
            for one in row:
                encoded, before = self._encode(one)
                places = self._told(one, encoded, before, text)
                words, along = self._about(one, len(column) - skip, len(encoded))
                behind = self._named(one, text)
                for i in range(skip, len(encoded) - 1):
                    if i + 1 >= before:
                        said = IGNORED if one.kind == HANDS else encoded[i + 1]
                        answers.append((number, len(column), said, question))
                        marked.append(places[i + 1 - before])
                        about.append(words)
                        named.append(behind)
                    column.append((encoded[i], question, i - skip, one.place - first))
                column += [
                    (id_, question, i - skip, one.place - first)
                    for i, id_ in enumerate(along, len(encoded) - 1)
                ]
                question += 1
            columns.append(column)
        length = max(map(len, columns))
        padding = (self._marks[2], -1, 0, 0)
        table = [column + [padding] * (length - len(column)) for column in columns]
        ids, owner, within, seen = torch.tensor(table, dtype=torch.long).view(len(rows), length, 4).unbind(-1)
        answering = torch.tensor(answers, dtype=torch.long).view(-1, 4).unbind(-1)
        names = ("rows", "columns", "labels", "questions")
        return Asks(
            ids,
            owner,
            within,
            seen,
            told=torch.stack(marked) if marked else torch.zeros(0, len(texts[0]), dtype=torch.int8),
            about=torch.tensor(about, dtype=torch.long).view(-1, 3 + ALONG),
            named=torch.tensor(named, dtype=torch.long).view(-1, 2),
            **dict(zip(names, answering, strict=True)),
            topics=[one.topic for row in rows for one in row],
        )

    def _about(self, asked: Asked, column: int, count: int) -> tuple[tuple[int, ...], list[int]]:
        """`Asks.about` of a question of `count` ids that stands in its row from `column` on.

        And the ids of what moved along, that are to stand there instead of its END.
        """
        question, along, more = asked.question, list[int](), list[int]()
        if not question.about:
            return (-1,) * (3 + ALONG), along
        words = (question.about[0], question.about[1] if question.about[1:] else ARTICLE)
        ends = [re.search(rf" {word}\b", question.text) for word in words]
        places = [self._ids(asked.blank, question.text[: end.end()], "")[1] - 2 for end in ends if end]
        answer = count - 2  # END is the last
        for word in question.along[:ALONG]:
            along += self._encoded(" " + word, begins=False)
            more.append(answer + len(along))
        places = [column + place for place in (*places, answer, *more)]
        places += [-1] * (3 + ALONG - len(places))
        if question.answer == NONE:
            places[2] = -1
        return tuple(places), along

    def _named(self, asked: Asked, text: Sequence[int]) -> tuple[int, int]:
        """`Asks.named` of a question."""
        fact, question = asked.fact, asked.question
        if fact is None or fact.start < 0 or fact.stop > len(text):
            return -1, -1
        if len(question.support) > 1 or question.along:
            return -1, -1
        words = [self._encoded(" " + word, begins=False) for word in question.about]
        first, second, *_ = [*(_past(word, fact, text) for word in words), -1, -1]
        return first, second

    def _told(self, asked: Asked, ids: Sequence[int], before: int, text: Sequence[int]) -> Tensor:
        """For each id of an answer, which are those from `before` on, where in `text` to look: `Asks.told`.

        If one fact gives the answer, where it says it. Where facts are read from left to right that must be
        behind all words of the question, for only there it is known whose it is: an answer before them, as in
        "Mary took the milk" that of "Who has the milk?", is kept at the last of them; that holds for its
        first id. Where a model has words only behind them, and whole, anywhere behind that place, and for all
        ids; also at the id behind the fact, so that its last word, too, is known at more than one place. If
        it has `Question.about`, anywhere in the newest of its facts; of a gift, only if an id is behind it.
        What one fact adds to a sum before it says to whose, a gift, only at that id. Nowhere for END.
        """
        fact, answer = asked.fact, ids[before:]
        marks = torch.zeros(len(answer), len(text), dtype=torch.int8)
        question, one_fact = asked.question, len(asked.question.support) == 1
        if fact is None or fact.start < 0 or fact.stop > len(text):
            return marks
        more = int(self._behind)
        stop = fact.stop + more
        if one_fact and len({*question.about}) > 1 and stop > len(text):
            return marks
        words = set() if self._both_ways else set(ids[:before])
        cue = max((place for place in fact if text[place] in words), default=-1)
        said = [max(_last(label, fact, text), cue) for label in answer[:-1]]
        adds = one_fact and question.about[1:] == question.about[:1] != () and question.answer != NONE
        if adds and _last(answer[0], fact, text) < cue:
            places = [range(fact.stop, stop) for _ in said]
        elif question.about:
            places = [range(fact.start, stop) for _ in said]
        elif self._behind:
            places = [range(place + 1, stop) if place >= 0 else range(0) for place in said]
        else:  # the cue keeps the first alone
            places = [
                range(p, p + 1) if p > cue or (i == 0 and p >= 0) else range(0) for i, p in enumerate(said)
            ]
        for mark, found in zip(marks, places, strict=False):
            if found:
                for span in asked.older:
                    mark[max(0, span.start) : max(0, span.stop + more)] = -1
                mark[found.start : found.stop] = 1 + adds
        return marks

    def begun(self, rows: Sequence[Sequence[Asked]], count: int) -> Tensor:
        """The first `count` ids of each row's first question, [batch, count]; END where there is none."""
        ids = torch.full((len(rows), count), self._marks[2])
        for r, row in enumerate(rows):
            if row:
                ids[r] = torch.tensor(self._encode(row[0])[0][:count])
        return ids


def _last(id_: int, span: range, text: Sequence[int]) -> int:
    """Where it stands last in a span of the text; -1 if nowhere."""
    return max((place for place in span if text[place] == id_), default=-1)


def _past(word: Sequence[int], span: range, text: Sequence[int]) -> int:
    """The place behind the last time that a word stands in a span of the text; -1 if it does not."""
    starts = (place for place in span if [*text[place : place + len(word)]] == [*word])
    return max((place + len(word) for place in starts), default=-1)
