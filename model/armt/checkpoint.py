"""A model with what is needed to talk to it: found, loaded, checked, saved.

A folder of ours holds config.json (the model's shape, how it is asked, the fingerprint), model.safetensors
and tokenizer.json. Folders of the official code are read too: see official.py.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import save as serialized

from armt import hardware, official, weights
from armt.backbone import FINAL_NORM
from armt.config import ArmtConfig
from armt.errors import CheckpointError
from armt.model import ArmtModel
from armt.text import StreamTokenizer

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

MODEL_TYPE = "armt_native"
"""What config.json calls a model saved by `save`."""

BUNDLED = Path(__file__).parent / "bundled"
SHIPPED = {"bundled": BUNDLED, "open": BUNDLED.parent / "open"}
"""The small trained checkpoints that ship: one for bAbI's words alone, and the default, for open words."""

HUB_FILES = ["*.json", "*.safetensors", "pytorch_model*.bin"]


@dataclasses.dataclass(frozen=True)
class PromptTemplate:
    """How a question is put: text, closing, before, question, after.

    Special tokens count in all that is trusted.

    Attributes:
        before: trusted text in front of the question.
        after: trusted text behind it; the answer follows.
        stop: texts that end an answer.
        closing: trusted text behind the session's, as if it were part of it: of a model that keeps what a
            sentence tells at the token that follows it.
    """

    before: str = ""
    after: str = ""
    stop: tuple[str, ...] = ()
    closing: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The template as plain JSON values."""
        return dataclasses.asdict(self) | {"stop": list(self.stop)}

    @classmethod
    def from_dict(cls, values: object) -> PromptTemplate:
        """The template that `to_dict` gave; CheckpointError for anything else."""
        if not isinstance(values, dict) or set(values) - {"closing"} != {"before", "after", "stop"}:
            raise CheckpointError("the prompt in config.json should have before, after and stop")
        stop, closing = values["stop"], values.get("closing", "")  # checkpoints of before have none
        texts = [values["before"], values["after"], closing, *(stop if isinstance(stop, list) else [None])]
        if not all(isinstance(text, str) for text in texts):
            raise CheckpointError("the prompt in config.json should have texts, and a list of them for stop")
        return cls(values["before"], values["after"], tuple(stop), closing)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A model with its tokenizer and way of asking.

    Attributes:
        model: in evaluation mode, on its device.
        tokenizer: None if the folder had none; then only ids can be given.
        template: how a question is put.
        fingerprint: the digest that a memory belongs to, of weights as stored, config and tokenizer.
        name: what people call it.
    """

    model: ArmtModel
    tokenizer: StreamTokenizer | None
    template: PromptTemplate
    fingerprint: str
    name: str

    def __post_init__(self) -> None:
        if self.tokenizer is not None and self.model.words is not None:
            self.model.words.spell(self.tokenizer.vocabulary)

    @classmethod
    def of(
        cls,
        model: ArmtModel,
        tokenizer: StreamTokenizer | None = None,
        template: PromptTemplate | None = None,
        name: str = "model",
    ) -> Checkpoint:
        """A checkpoint of a model as it is now; its weights should not change afterwards."""
        fingerprint = weights.fingerprint(weights.of(model), model.config.to_dict(), _json_of(tokenizer))
        return cls(model, tokenizer, template or PromptTemplate(), fingerprint, name)


def load(source: str, device: str = "auto", dtype: str = "auto") -> Checkpoint:
    """Find a checkpoint, check it whole and put it on a device.

    Args:
        source: "bundled", "open", a folder (ours, or the official code's of either era), or a hub id.
        device: "auto" (a GPU if there is one), or a torch device.
        dtype: of the backbone's weights: float32, bfloat16, float16, or "auto": bfloat16 where the hardware
            multiplies it, but float32 for official models that were made for it. Memory is always float32.

    Raises:
        CheckpointError: there is no such checkpoint, or it is broken or of an unsupported kind.
        ConfigError: an unknown architecture, an impossible option, device or dtype.
    """
    place = hardware.device(device)
    folder, name = _locate(source)
    settings = weights.read_json(folder / "config.json")
    _refuse_strangers(settings, folder)
    foreign = official.is_official(settings)
    held_in = hardware.dtype(dtype, place, keep_float32=foreign and official.keeps_float32(settings))
    model = _build(settings, folder)
    tensors = weights.read(folder)
    tensors = weights.canonical(
        model, official.renamed(tensors, model.config) if foreign else tensors.items()
    )
    # Parameter by parameter: casting the module would round the rotary frequencies, which are buffers.
    for parameter in model.backbone.parameters():
        parameter.data = parameter.data.to(held_in)
    weights.fit(model, tensors)
    tokenizer, text = _read_tokenizer(folder / "tokenizer.json", model.backbone.vocab_size)
    fingerprint = weights.fingerprint(tensors, model.config.to_dict(), text)
    if foreign:
        template = _official_template(model.config, text)
    elif settings.get("fingerprint") == fingerprint:
        template = PromptTemplate.from_dict(settings.get("prompt"))
    else:
        raise CheckpointError(
            f"{folder} is damaged: its weights, config or tokenizer are not those it was saved with"
        )
    return Checkpoint(model.to(place), tokenizer, template, fingerprint, name)


def save(checkpoint: Checkpoint, folder: str | os.PathLike[str]) -> None:
    """Write a folder that `load` reads.

    config.json comes last, so that an interrupted save is never taken for a whole one.
    The weights are written as the model holds them now, and so is the fingerprint.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").unlink(missing_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in weights.of(checkpoint.model).items()}
    # save_file would make a file that its owner alone can read, and a server in a container may be another.
    (path / "model.safetensors").write_bytes(serialized(tensors, metadata={"format": "pt"}))
    text = _json_of(checkpoint.tokenizer)
    if text is None:
        (path / "tokenizer.json").unlink(missing_ok=True)
    else:
        (path / "tokenizer.json").write_text(text, encoding="utf-8")
    config = checkpoint.model.config.to_dict()
    settings = {
        "model_type": MODEL_TYPE,
        "armt": config,
        "prompt": checkpoint.template.to_dict(),
        "fingerprint": weights.fingerprint(tensors, config, text),
    }
    (path / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _locate(source: str) -> tuple[Path, str]:
    """The folder of a source, and the checkpoint's name."""
    if source in SHIPPED:
        folder = SHIPPED[source]
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"this installation has no model {source!r}: name a folder or a hub id")
        return folder, source
    if Path(source).is_dir():
        return Path(source), Path(source).resolve().name
    try:
        return Path(snapshot_download(source, allow_patterns=HUB_FILES)), source
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"there is no folder {source!r}, and as a hub id it cannot be had: {reason}"
        ) from error


def _refuse_strangers(settings: Mapping[str, Any], folder: Path) -> None:
    kind = settings.get("model_type")
    if kind == MODEL_TYPE or official.is_official(settings):
        return
    if kind == "armt_sw":
        raise CheckpointError(f"{folder} is an armt_sw (sliding window) model, which is not supported yet")
    if kind in FINAL_NORM:
        raise CheckpointError(
            f"{folder} is a plain {kind} model without memory weights: name an ARMT checkpoint made from it"
        )
    raise CheckpointError(f"{folder} holds a model of type {kind!r}; {MODEL_TYPE} and armt can be loaded")


def _build(settings: Mapping[str, Any], folder: Path) -> ArmtModel:
    try:
        if official.is_official(settings):
            config = official.config(settings)
        else:
            config = ArmtConfig.from_dict(_part(settings, "armt"))
        return ArmtModel(config).eval()
    except (TypeError, ValueError, StrictDataclassError) as error:  # what transformers raises for bad values
        raise CheckpointError(f"{folder / 'config.json'} describes no model that works: {error}") from error


def _read_tokenizer(path: Path, vocabulary: int) -> tuple[StreamTokenizer | None, str | None]:
    """The tokenizer and the text of its file, which the fingerprint is made of."""
    if not path.is_file():
        return None, None
    tokenizer = StreamTokenizer.from_file(path)
    if tokenizer.vocab_size > vocabulary:
        raise CheckpointError(
            f"{path} has {tokenizer.vocab_size} tokens but the model knows {vocabulary} ids"
        )
    return tokenizer, path.read_text(encoding="utf-8")


def _official_template(config: ArmtConfig, tokenizer: str | None) -> PromptTemplate:
    """Official models are asked in plain text and stop at their end token."""
    added = json.loads(tokenizer).get("added_tokens", []) if tokenizer is not None else []
    end = config.backbone.get("eos_token_id")
    return PromptTemplate(stop=tuple(token["content"] for token in added if token["id"] == end))


def _json_of(tokenizer: StreamTokenizer | None) -> str | None:
    return None if tokenizer is None else tokenizer.to_json()


def _part(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = settings.get(name)
    if not isinstance(part, dict):
        raise CheckpointError(f"config.json has no {name!r}")
    return part
