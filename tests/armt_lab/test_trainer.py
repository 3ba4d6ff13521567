from __future__ import annotations

import csv
import dataclasses
import math
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import CPU, TINY, drawer_of, trainer_in, weights
from tokenizers import Tokenizer

from armt import checkpoint
from armt.copying import FAR, NAMED
from armt.model import ArmtModel
from armt_lab import plots, recipe
from armt_lab.reading import read
from armt_lab.recipe import RecipeError
from armt_lab.train import Options, export, run, train_by
from armt_lab.trainer import Marks, Trainer

if TYPE_CHECKING:
    from armt_lab.lessons import Lesson


def silent() -> recipe.Recipe:
    """Two steps in which no facts are told, so that nothing can be asked."""
    stage = dataclasses.replace(TINY.stages[0], density=(1e-9, 1e-9))
    return dataclasses.replace(TINY, stages=(stage,))


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
    shared, apart = (trainer_in(runs, name, threads=2) for name in ("shared", "apart"))
    for trainer in (shared, apart):
        trainer.enter(1)
    shares = apart.lessons.shares(0)
    assert [rows for rows, _ in shares] == [slice(0, 1), slice(1, 3)]
    parts = [apart._learn(share).gradients for share in shares]
    shared.train_step()
    wanted = [(a + b) / 2 for a, b in zip(*parts, strict=True) if a is not None and b is not None]
    found = [p.grad for p in shared.model.parameters() if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in wanted]))
    scale = min(1.0, 1.0 / norm.item())  # gradients are clipped to length 1
    for mine, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(mine, theirs * scale, rtol=1e-4, atol=1e-7)
    assert shared.state.batch == 3
    assert [s.base for s in shared.lessons.streams] == [128] * 3


def test_a_step_in_which_nothing_can_be_asked_is_a_step(runs: Path) -> None:
    trainer = trainer_in(runs, "silent", threads=3, recipe=silent())
    before = weights(trainer)
    assert trainer.train_step() == Marks([], None, None)
    assert trainer.step == 1
    assert torch.equal(weights(trainer), before)


def test_steps_in_which_nothing_was_asked_are_logged_without_a_loss(runs: Path) -> None:
    trainer = trainer_in(runs, "hushed", recipe=silent())
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

    def signalled() -> Marks:
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


SMALL = """
name = "small"
[size]
vocab = 600
d_model = 16
layers = 2
heads = 2
d_ff = 32
d_mem = D_MEM
memory_tokens = 2
conv = 3
[[stage]]
segment = 24
segments = 1
rows = 3
"""


def test_a_run_starts_with_the_weights_of_a_model_whose_blocks_are_of_its_size_and_no_other(
    runs: Path, tmp_path: Path
) -> None:
    first = trainer_in(runs, "start")
    export(first, tmp_path / "model")
    options = Options(
        books=runs / "books", runs=tmp_path, start=str(tmp_path / "model"), seed=5, threads=1, minutes=0
    )
    path = tmp_path / "small.toml"

    path.write_text(SMALL.replace("D_MEM", "4").replace("conv = 3", "conv = 4"))
    with pytest.raises(RecipeError, match="another size than the recipe's: see conv"):
        train_by(path, options)
    assert not (tmp_path / "small").exists()

    path.write_text(SMALL.replace("D_MEM", "4"))
    train_by(path, options)
    started = trainer_in(runs, "started")
    started.model.load_state_dict(torch.load(tmp_path / "small" / "last.pt", weights_only=False)["model"])
    assert (weights(started) - weights(first)).abs().max() < 1e-4  # one step of the warm-up
    encode = Tokenizer.from_file(str(tmp_path / "small" / "tokenizer.json")).encode
    assert encode("\nMary").ids == [*encode("\n").ids, *encode(" Mary").ids]


def test_memories_that_are_made_otherwise_begin_anew(runs: Path, tmp_path: Path) -> None:
    first = trainer_in(runs, "blocks")
    export(first, tmp_path / "model")
    path = tmp_path / "small.toml"
    path.write_text(SMALL.replace("D_MEM", "8"))

    train_by(
        path,
        Options(
            books=runs / "books", runs=tmp_path, start=str(tmp_path / "model"), seed=5, threads=1, minutes=0
        ),
    )

    found = torch.load(tmp_path / "small" / "last.pt", weights_only=False)["model"]
    gone = {
        n: (found[n] - w.detach()).abs().max()
        for n, w in first.model.named_parameters()
        if "W_mq" not in n and "W_mk" not in n
    }
    kept = {name for name, distance in gone.items() if distance < 1e-4}  # one step of the warm-up
    assert {n for n in gone if n.startswith(("backbone.", "conv"))} <= kept
    assert not any(name.endswith("W_mv.weight") for name in kept)


def test_a_model_that_a_run_starts_with_can_learn_to_copy(runs: Path, tmp_path: Path) -> None:
    size = dataclasses.replace(TINY.size, memory_tokens=0)
    first = trainer_in(runs, "plain", recipe=dataclasses.replace(TINY, size=size))
    export(first, tmp_path / "model")
    path = tmp_path / "small.toml"
    path.write_text(
        SMALL.replace("D_MEM", "4").replace("memory_tokens = 2", "memory_tokens = 0\ncopying = 16")
    )

    train_by(
        path,
        Options(books=runs / "books", runs=tmp_path, start=str(tmp_path / "model"), threads=1, minutes=0),
    )

    found = torch.load(tmp_path / "small" / "last.pt", weights_only=False)["model"]
    for name, weight in first.model.named_parameters():  # after one step of the warm-up
        torch.testing.assert_close(found[name], weight.detach(), rtol=0, atol=1e-4)
    added = {".".join(name.split(".")[2:4]) for name in found.keys() - first.model.state_dict().keys()}
    of_copier = {f"copier.{part}" for part in ("picks", "own", "say", "asked", "kept")}
    assert added == of_copier | {"W_ma.weight", "W_ma.bias"}


def test_a_model_that_a_run_starts_with_can_have_longer_codes_with_keys_as_alike_as_they_were(
    runs: Path, tmp_path: Path
) -> None:
    size = dataclasses.replace(TINY.size, memory_tokens=0, copying=16, d_mem=8, features="bind")
    first = trainer_in(runs, "short", recipe=dataclasses.replace(TINY, size=size))
    export(first, tmp_path / "model")
    path = tmp_path / "small.toml"
    longer = 'memory_tokens = 0\ncopying = 32\nfeatures = "bind"'
    path.write_text(SMALL.replace("D_MEM", "16").replace("memory_tokens = 2", longer))

    train_by(
        path,
        Options(books=runs / "books", runs=tmp_path, start=str(tmp_path / "model"), threads=1, minutes=0),
    )

    found = ArmtModel(dataclasses.replace(first.model.config, copying=32, d_mem=16))
    found.load_state_dict(torch.load(tmp_path / "small" / "last.pt", weights_only=False)["model"])
    x = torch.randn(5, TINY.size.d_model)
    for mine, theirs in zip(found.memories, first.model.memories, strict=True):
        ours, before = (phi @ phi.mT for phi in (m.phi(m.W_mk(x)).detach() for m in (mine, theirs)))
        torch.testing.assert_close(ours, before, rtol=0, atol=1e-2)  # after one step of the warm-up


def test_keys_begin_by_naming_words_that_are_near(runs: Path) -> None:
    size = dataclasses.replace(TINY.size, memory_tokens=0, copying=16)
    trainer = trainer_in(runs, "names", recipe=dataclasses.replace(TINY, size=size))
    for memory in trainer.model.memories:
        for names in (memory.copier.asked, memory.copier.kept):
            torch.testing.assert_close(names.picks.far.detach(), torch.tensor([FAR, FAR]))
            torch.testing.assert_close(names.named.bias.detach(), torch.tensor(NAMED))
            assert 0 < names.W_r.weight.std() < 0.5 * TINY.size.d_model**-0.5
        assert not memory.copier.picks.far.any()


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
    trainer = trainer_in(runs, "gates", recipe=dataclasses.replace(TINY, seed=3))
    trainer.enter(1)
    drawer = drawer_of(trainer)
    for stream in drawer.streams:
        stream.stage = dataclasses.replace(stream.stage, density=(1e-9, 1e-9))
        stream.start_story()
    learnt = trainer._learn((slice(0, 3), partial(drawer.draw, 0)))
    assert learnt.lesson.is_noise.all()

    def loss(lesson: Lesson, noise_weight: float) -> torch.Tensor:
        stage = dataclasses.replace(trainer.stage, noise_weight=noise_weight)
        found = read(trainer.model, lesson, trainer.state, stage).loss
        assert found is not None
        return found

    of_facts = dataclasses.replace(learnt.lesson, is_noise=~learnt.lesson.is_noise)
    assert loss(learnt.lesson, 1.0) > loss(learnt.lesson, 0.0)
    assert loss(of_facts, 1.0) == loss(of_facts, 0.0)

    trainer.train_step()
    assert not trainer.gates.fact
    assert len(trainer.gates.noise) == 2 * 3
    assert bool(drawer.source.missed) == any(trainer.gates.noise)


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
        ('name = "x"\nsoften = [0.3]\n' + stage, "soften is of 1 memories, but the model has 2"),
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


def test_of_a_model_that_a_run_starts_with_it_can_be_less_sure_which_words_tokens_keep(
    runs: Path, tmp_path: Path
) -> None:
    size = dataclasses.replace(TINY.size, memory_tokens=0, copying=16)
    first = trainer_in(runs, "sure", recipe=dataclasses.replace(TINY, size=size))
    export(first, tmp_path / "model")
    path = tmp_path / "small.toml"
    recipe = SMALL.replace("D_MEM", "4").replace("memory_tokens = 2", "memory_tokens = 0\ncopying = 16")
    path.write_text(recipe.replace("[size]", "soften = [0.25]\n[size]"))

    train_by(
        path,
        Options(books=runs / "books", runs=tmp_path, start=str(tmp_path / "model"), threads=1, minutes=0),
    )

    found = torch.load(tmp_path / "small" / "last.pt", weights_only=False)["model"]
    for name, weight in first.model.named_parameters():  # after one step of the warm-up
        share = 0.25 if name == "memories.0.copier.picks.W_pq.weight" else 1.0
        torch.testing.assert_close(found[name], share * weight.detach(), rtol=0, atol=1e-4)
    assert "memories.0.copier.picks.W_pq.weight" in found
