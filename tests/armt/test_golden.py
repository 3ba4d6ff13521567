"""Agreement with the official code, on cases that it made (see the README beside them)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from armt import checkpoint, reference
from armt.decode import decode
from armt.errors import CheckpointError
from armt.sampling import Sampling

ROOT = Path(os.environ.get("ARMT_GOLDEN", Path(__file__).parents[2] / "../shared/golden"))
CASES = sorted(config.parent for config in ROOT.glob("*/config.json")) if ROOT.is_dir() else []
REFUSED = {"armt_sw"}

pytestmark = pytest.mark.skipif(
    not CASES, reason=f"no golden cases in {ROOT}: set ARMT_GOLDEN to their folder"
)


class Case:
    """One folder: the model, what went in and what must come out."""

    def __init__(self, folder: Path) -> None:
        self.model = checkpoint.load(str(folder), device="cpu").model
        inputs = json.loads((folder / "inputs.json").read_text())
        self.ids: list[int] = inputs["input_ids"]
        self.prompt: list[int] = inputs["prompt_ids"]
        self.count: int = inputs["max_new_tokens"]
        self.expected = load_file(folder / "expected.safetensors")

    @property
    def generated(self) -> list[int]:
        """The continuation with full segments committed; the paper era's own `generate` does not do it."""
        return self.expected.get("generated_committed", self.expected["generated"]).tolist()

    def assert_memory(self, segment: int, layer: int, W: torch.Tensor, z: torch.Tensor) -> None:
        for name, found in (("W", W), ("z", z)):
            expected = self.expected.get(f"{name}.{layer}.{segment}")
            if expected is not None:  # z: only if the model has one
                tolerance = 1e-4 * max(1.0, float(self.expected[f"W.{layer}.{segment}"].abs().max()))
                torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def kind(folder: Path) -> str:
    return json.loads((folder / "config.json").read_text()).get("model_type", "paper")


@pytest.fixture(scope="module", params=[c for c in CASES if kind(c) not in REFUSED], ids=lambda c: c.name)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_logits_and_memories_agree_on_the_fast_path(case: Case) -> None:
    size = case.model.config.segment_size
    state, logits = case.model.empty_state(), []
    for start in range(0, len(case.ids), size):
        with torch.no_grad():
            found, state = case.model.forward_segment(torch.tensor([case.ids[start : start + size]]), state)
        logits.append(found[0])
        if start + size <= len(case.ids):
            for slot, layer in enumerate(case.model.config.memory_layers):
                case.assert_memory(start // size + 1, layer, state.W[slot, 0], state.z[slot, 0])
    torch.testing.assert_close(torch.cat(logits), case.expected["logits"], rtol=0, atol=1e-4)


def test_logits_and_memories_agree_in_the_reference(case: Case) -> None:
    logits, history = reference.document(case.model, case.ids)
    torch.testing.assert_close(logits, case.expected["logits"], rtol=0, atol=1e-4)
    for segment in range(len(case.ids) // case.model.config.segment_size):
        for layer, memory in history[segment].items():
            case.assert_memory(segment + 1, layer, memory.W, memory.z)


def test_generated_tokens_are_equal_on_the_fast_path(case: Case) -> None:
    found = decode(case.model, case.model.empty_state(), case.prompt, Sampling(max_tokens=case.count))
    assert list(found) == case.generated


def test_generated_tokens_are_equal_in_the_reference(case: Case) -> None:
    assert reference.generate(case.model, case.prompt, case.count) == case.generated


def test_a_saved_and_loaded_case_is_the_same_model(case: Case, tmp_path: Path) -> None:
    saved = checkpoint.Checkpoint.of(case.model)
    checkpoint.save(saved, tmp_path)
    loaded = checkpoint.load(str(tmp_path), device="cpu", dtype="float32")
    assert loaded.fingerprint == saved.fingerprint
    assert torch.equal(
        reference.document(loaded.model, case.ids)[0], reference.document(case.model, case.ids)[0]
    )


@pytest.mark.parametrize("folder", [c for c in CASES if kind(c) in REFUSED], ids=lambda c: c.name)
def test_a_kind_that_is_not_supported_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=kind(folder)):
        checkpoint.load(str(folder))
