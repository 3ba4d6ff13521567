from __future__ import annotations

import csv
import dataclasses
import math
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_run import CPU, TINY, trainer_in

from armt import checkpoint
from armt_lab import corpus, plots, recipe
from armt_lab.streams import Stream
from armt_lab.train import export, run
from armt_lab.trainer import Trainer
from armt_lab.words import EVERYONE, HELD_OUT, NOBODY, NOTHING, OBJECTS, PLACES, STRANGERS, UNKNOWN

if TYPE_CHECKING:
    from armt.model import ArmtModel, Trace
    from armt.state import MemoryState
    from armt_lab.asking import Graded


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupted_run_goes_on_at_the_very_step_and_ends_with_the_same_weights(
    runs: Path, threads: int
) -> None:
    whole = trainer_in(runs, f"whole-{threads}", threads)
    for _ in range(6):
        whole.train_step()
        whole.advance()
    for _ in range(2):
        part = trainer_in(runs, f"part-{threads}", threads)
        part.resume()
        for _ in range(3):
            part.train_step()
            part.advance()
        part.save()
    assert part.step == whole.step == 6
    assert torch.equal(weights(part), weights(whole))
    assert torch.equal(part.state.W, whole.state.W)


def test_threads_share_the_rows_and_the_gradient_is_the_mean_of_theirs(runs: Path) -> None:
    shared, alone = trainer_in(runs, "shared", threads=2), trainer_in(runs, "alone")
    for trainer in (shared, alone):
        trainer.enter(1)
        trainer.model.load_state_dict(shared.model.state_dict())
    rows = [slice(0, 1), slice(1, 3)]
    assert [len(share.streams) for share in shared._shares()] == [1, 2]
    parts = []
    for part in rows:
        reading = alone._shares()[0]
        reading.streams, reading.state = alone.streams[part], alone.state.rows(part)
        reading.seed = f"{TINY.seed}/0/{part.start}"
        parts.append(alone._learn(reading)[1])
    shared.train_step()
    wanted = [(a + b) / 2 for a, b in zip(*parts, strict=True) if a is not None and b is not None]
    found = [p.grad for p in shared.model.parameters() if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in wanted]))
    scale = min(1.0, 1.0 / norm.item())  # gradients are clipped to length 1
    for mine, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(mine, theirs * scale, rtol=1e-4, atol=1e-7)
    assert shared.state.batch == 3
    assert [s.base for s in shared.streams] == [128] * 3


def test_a_step_in_which_nothing_can_be_asked_is_a_step(runs: Path) -> None:
    trainer = trainer_in(runs, "silent", threads=3)
    silent = dataclasses.replace(TINY.stages[0], density=(1e-9, 1e-9))
    trainer.recipe = dataclasses.replace(TINY, stages=(silent,))
    trainer.enter(0)
    before = weights(trainer)
    assert trainer.train_step() == []
    assert trainer.step == 1
    assert torch.equal(weights(trainer), before)


def test_steps_in_which_nothing_was_asked_are_logged_without_a_loss(runs: Path) -> None:
    silent = dataclasses.replace(TINY.stages[0], density=(1e-9, 1e-9))
    trainer = trainer_in(runs, "hushed", recipe=dataclasses.replace(TINY, stages=(silent,)))
    assert run(trainer, seconds=600)
    log = trainer.folder / "metrics.csv"
    assert [row["loss"] for row in csv.DictReader(log.read_text().splitlines())] == [""]
    plots.training(log, trainer.folder / "training.png")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_at_the_end_of_its_step_and_nothing_is_lost(
    runs: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    trainer = trainer_in(runs, f"signalled-{number.name}")
    before, train_step = signal.getsignal(number), trainer.train_step

    def signalled() -> list[Graded]:
        if trainer.step == 2:
            signal.raise_signal(number)
        return train_step()

    monkeypatch.setattr(trainer, "train_step", signalled)
    assert not run(trainer, seconds=600)
    again = trainer_in(runs, trainer.folder.name)
    assert again.resume()
    assert again.step == 3
    assert torch.equal(weights(again), weights(trainer))
    assert signal.getsignal(number) is before


def test_a_run_ends_with_metrics_and_a_model_that_the_library_loads(runs: Path, tmp_path: Path) -> None:
    trainer = trainer_in(runs, "ended")
    assert run(trainer, seconds=600)
    export(trainer, tmp_path / "model")
    loaded = checkpoint.load(str(tmp_path / "model"), device="cpu", dtype="float32")
    assert loaded.template.stop == ("<|end|>",)
    assert loaded.model.config.segment_size == 64
    ids = torch.arange(64).unsqueeze(0)
    torch.testing.assert_close(  # training spells attention out
        loaded.model.absorb(ids, loaded.model.empty_state()).W,
        trainer.model.absorb(ids, trainer.model.empty_state()).W,
    )
    plots.training(trainer.folder / "metrics.csv", tmp_path / "training.png")
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_where_the_tail_is_folded_segments_are_of_any_length_and_nothing_told_is_in_view(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = dataclasses.replace(TINY.stages[1], lookahead=0.0)
    size = dataclasses.replace(TINY.size, fold_tail=True)
    trainer = trainer_in(runs, "folding", recipe=dataclasses.replace(TINY, size=size, stages=(stage,)))
    absorb_traced, grade = trainer.model.absorb_traced, trainer.asker.grade
    lengths: list[int] = []
    in_view: list[int] = []

    def absorbing(ids: torch.Tensor, state: MemoryState) -> tuple[MemoryState, Trace]:
        lengths.append(ids.shape[1])
        return absorb_traced(ids, state)

    def grading(model: ArmtModel, text: torch.Tensor, *rest: Any) -> Graded:
        in_view.append(text.shape[1])
        return grade(model, text, *rest)

    monkeypatch.setattr(trainer.model, "absorb_traced", absorbing)
    monkeypatch.setattr(trainer.asker, "grade", grading)
    for _ in range(8):
        trainer.train_step()
    assert max(lengths) == stage.segment
    assert len({length for length in lengths if length < stage.segment}) > 1
    assert set(in_view) == {0}


def test_where_the_text_itself_writes_a_value_begins_with_a_part_of_its_token(runs: Path) -> None:
    for memory_tokens, part in ((0, 0.25), (2, 0.0)):
        size = dataclasses.replace(TINY.size, memory_tokens=memory_tokens)
        trainer = trainer_in(runs, f"values-{memory_tokens}", recipe=dataclasses.replace(TINY, size=size))
        for memory in trainer.model.memories:
            weight = memory.W_mv.weight.detach()
            assert weight.diagonal().mean().item() == pytest.approx(part, abs=0.08)
            assert weight.mean().item() == pytest.approx(part / len(weight), abs=0.02)


def test_a_step_counts_the_ids_that_it_read(runs: Path) -> None:
    trainer = trainer_in(runs, "counting")
    trainer.train_step()
    assert trainer.tokens == 3 * 24
    trainer.enter(1)
    trainer.train_step()
    assert trainer.tokens == 3 * 24 + 3 * 2 * 64


def test_a_gate_that_opens_on_noise_is_punished_and_its_sentences_are_shown_again(runs: Path) -> None:
    trainer = trainer_in(runs, "gates")
    trainer.enter(1)
    for stream in trainer.streams:
        stream.stage = dataclasses.replace(stream.stage, density=(1e-9, 1e-9))
        stream.start_story()
    trainer.train_step()
    assert not trainer.gates.fact
    assert len(torch.cat(trainer.gates.penalties)) == len(trainer.gates.noise) == 2 * 3
    assert bool(trainer.source.missed) == any(trainer.gates.noise)


def test_what_is_in_view_of_a_segment_says_whether_a_fact_is(runs: Path) -> None:
    trainer = trainer_in(runs, "view")
    stream = Stream(trainer.source, TINY.stages[1], random.Random(3))
    stream.density = 0.3
    ids = stream.peek(400)
    assert [t.start for t in stream.told] == [0, *(t.end for t in stream.told)][:-1]
    for told in stream.told:
        text = trainer.tokenizer.decode(ids[told.start : min(told.end, 400)])
        if told.sentence < 0 and told.end <= 400:
            assert any(f" {place}." in text or f" {place} " in text for place in (*PLACES, *OBJECTS)), text
        assert told in stream.in_view(told.start, told.end)
        assert told not in stream.in_view(told.end, 400)
    stream.advance(200, keep=16)
    assert all(t.end > 184 for t in stream.told)


def test_stories_of_open_words_are_told_of_words_that_the_books_have_and_no_published_ones(
    runs: Path,
) -> None:
    trainer = trainer_in(runs, "open")
    trainer.source = dataclasses.replace(trainer.source, words=HELD_OUT)
    stage = dataclasses.replace(TINY.stages[0], open=0.5)
    stream = Stream(trainer.source, stage, random.Random(4))
    told = []
    for _ in range(60):
        stream.start_story()
        told.append(trainer.tokenizer.decode(stream.peek(60)))
    are_open = [any(name in text for name in HELD_OUT.people) for text in told]
    assert 15 < sum(are_open) < 45
    assert are_open == [not any(name in text for name in EVERYONE) for text in told]


def test_strangers_to_published_stories_are_people_and_things_of_the_books_too(runs: Path) -> None:
    trainer = trainer_in(runs, "strangers")
    trainer.source = dataclasses.replace(trainer.source, words=HELD_OUT)
    stage = dataclasses.replace(TINY.stages[0], tasks={"qa2": 1.0})
    stream = Stream(trainer.source, stage, random.Random(6))
    asked: set[str] = set()
    for _ in range(60):
        stream.start_story()
        stream.peek(100)
        for _, asks in stream.known:
            asked |= {question.text.strip("?").split()[-1] for question in asks.get(UNKNOWN, [])}
    for words in (NOBODY, NOTHING, HELD_OUT.people, HELD_OUT.things):
        assert len(asked & set(words)) > len(words) // 4
    assert not asked & set(STRANGERS)


def test_of_several_questions_drawn_the_one_with_the_oldest_facts_is_asked(runs: Path) -> None:
    trainer = trainer_in(runs, "drawn")
    stream = Stream(trainer.source, dataclasses.replace(TINY.stages[0], drawn=60), random.Random(5))
    stream.peek(400)
    last = stream.known[-1][0]  # where all that the story told is known
    oldest = min(max(question.support) for question in stream.world.asks()["qa1"])
    asked = [asked for asked in stream.questions([last] * 20) if asked.kind == "qa1"]
    assert asked
    assert all(max(each.question.support) == oldest for each in asked)


def test_open_words_are_the_commonest_of_the_books_without_the_published_and_those_held_out() -> None:
    text = " On Monday Emma met Edgar, Julie, Mary and Emma in the orchard, the lane, a shed, a garden."
    words = corpus.open_words([text])
    assert words.people == ("Emma", "Monday")
    assert (words.places, words.things) == (("lane",), ())


def test_too_few_words_for_open_stories_are_told(runs: Path) -> None:
    open_stage = dataclasses.replace(TINY.stages[0], open=1.0)
    wanting = dataclasses.replace(TINY, stages=(open_stage,))
    with pytest.raises(recipe.RecipeError, match="too few for open stories: give --books"):
        Trainer(wanting, runs / "first", runs / "books", CPU)


def test_the_last_stage_ends_at_its_last_step_with_a_learning_rate_of_nothing(runs: Path) -> None:
    trainer = trainer_in(runs, "decay")
    trainer.enter(1)
    trainer.stage_step = TINY.stages[1].max_steps
    assert trainer.learning_rate() == 0
    assert trainer.over


def test_a_stage_ends_early_when_its_accuracy_is_reached(runs: Path) -> None:
    trainer = trainer_in(runs, "early")
    trainer.stage_step = 100
    trainer.recent.extend([1.0] * 50)
    trainer.advance()
    assert trainer.index == 1
    assert not trainer.over


def test_a_recipe_that_cannot_be_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    stage = "[[stage]]\nsegment = 8\nsegments = 1\nrows = 1\n"
    for text, told in (
        ('name = "x"\nlearning_rat = 1\n' + stage, "learning_rat"),
        ('name = "x"\n', "no \\[\\[stage\\]\\]"),
        ("name = x", "Invalid value"),
        ('name = "x"\n' + stage + "pointing = 1.0\n", "pointing needs memory_tokens = 0"),
    ):
        path.write_text(text)
        with pytest.raises(recipe.RecipeError, match=told):
            recipe.load(path)


def test_a_stage_without_an_accuracy_to_reach_goes_on_to_its_last_step(runs: Path) -> None:
    trainer = trainer_in(runs, "patient")
    trainer.recipe = dataclasses.replace(
        TINY, stages=(dataclasses.replace(TINY.stages[0], until=math.inf, max_steps=200), TINY.stages[1])
    )
    trainer.stage_step = 150
    trainer.recent.extend([1.0] * 50)
    trainer.advance()
    assert trainer.index == 0


def test_the_log_goes_back_with_a_run_that_goes_on_from_its_last_save(runs: Path) -> None:
    trainer = trainer_in(runs, "log")
    (trainer.folder / "metrics.csv").write_text("step,loss\n0,3\n20,2\n40,1\n")
    run(trainer, seconds=0)
    steps = [line.split(",")[0] for line in (trainer.folder / "metrics.csv").read_text().splitlines()]
    assert steps == ["step", "0", "1"]


def test_every_recipe_of_the_project_can_be_read() -> None:
    folder = Path(__file__).parents[2] / "model" / "recipes"
    recipes = [recipe.load(path) for path in sorted(folder.glob("*.toml"))]
    assert recipes
    assert all(r.stages for r in recipes)
