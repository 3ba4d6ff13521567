"""Named tensors between files and models: read, matched, checked, digested."""

from __future__ import annotations

import hashlib
import json
import pickle
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from armt.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

NAMES_SHOWN = 5


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint's file; CheckpointError if it is missing or broken."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} is not a checkpoint: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} should hold a JSON object")
    return values


def read(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder, on the CPU, under the names that the files give them.

    Safetensors, whole or sharded, is preferred; a pickled `.bin` is read with torch's `weights_only`, which
    runs nothing of it.

    Raises:
        CheckpointError: there are no weights, or a file is broken, missing or holds more than tensors.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return _read_file(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _read_shards(index)
    raise CheckpointError(f"{folder} has no weights: model.safetensors or pytorch_model.bin is expected")


def _read_shards(index: Path) -> dict[str, Tensor]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict):
        raise CheckpointError(f"{index} has no weight_map")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(places.values())):
        if not isinstance(shard, str) or "/" in shard or "\\" in shard:
            raise CheckpointError(f"{index} names a shard outside its folder: {shard!r}")
        tensors |= _read_file(index.parent / shard)
    absent = sorted(set(places) - set(tensors))
    if absent:
        raise CheckpointError(f"the shards of {index} lack {_listed(absent)}")
    return tensors


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as weights: {error}") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, torch.Tensor) for t in tensors.values()):
        raise CheckpointError(f"{path} should hold a dict of tensors and nothing else")
    return tensors


def of(model: nn.Module) -> dict[str, Tensor]:
    """A model's weights on the CPU, each once: a tied tensor goes under the first of its names."""
    return {name: parameter.detach().cpu() for name, parameter in model.named_parameters()}


def canonical(model: nn.Module, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors, each once, under the name that `of` gives it.

    Args:
        model: says which names mean one tensor.
        tensors: names and tensors; a tensor may come several times if it is the same each time.

    Raises:
        CheckpointError: two names of one tensor, or one name twice, with different values.
    """
    first_name: dict[int, str] = {}
    alias: dict[str, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        alias[name] = first_name.setdefault(id(parameter), name)
    found: dict[str, Tensor] = {}
    for given, tensor in tensors:
        name = alias.get(given, given)
        if name in found and not torch.equal(found[name], tensor):
            raise CheckpointError(f"the checkpoint holds two different tensors for {name}")
        found[name] = tensor
    return found


def fit(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy the tensors into the model's parameters, in the parameters' dtypes.

    Raises:
        CheckpointError: naming what is missing, unexpected, wrongly shaped or not floating-point; then
            nothing was copied.
    """
    parameters = dict(model.named_parameters())
    problems = []
    if missing := sorted(set(parameters) - set(tensors)):
        problems.append(f"missing {_listed(missing)}")
    if unexpected := sorted(set(tensors) - set(parameters)):
        problems.append(f"unexpected {_listed(unexpected)}")
    both = sorted(set(parameters) & set(tensors))
    if misshapen := [
        f"{name} {_sides(tensors[name])} instead of {_sides(parameters[name])}"
        for name in both
        if tensors[name].shape != parameters[name].shape
    ]:
        problems.append(f"wrongly shaped {_listed(misshapen)}")
    if not_floating := [name for name in both if not tensors[name].is_floating_point()]:
        problems.append(f"not floating-point {_listed(not_floating)}")
    if problems:
        raise CheckpointError(f"the weights do not fit the model: {'; '.join(problems)}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def fingerprint(tensors: Mapping[str, Tensor], config: Mapping[str, Any], tokenizer: str | None) -> str:
    """The digest that a memory belongs to: sha256, in hex.

    Args:
        tensors: under their canonical names; names, dtypes, shapes and bytes count, the order does not.
        config: plain JSON values.
        tokenizer: the text of tokenizer.json; its layout does not count.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {_sides(tensor)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    for values in (config, None if tokenizer is None else json.loads(tokenizer)):
        digest.update(json.dumps(values, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _sides(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
