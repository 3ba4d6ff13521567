"""Snapshots as bytes: a safetensors file that any tool can open, sealed with a checksum. Never pickle.

The tensors are `W` [layers with memory, d_key, d_value] and `z` [layers with memory, d_key], float32. All
else stands in the header's metadata, where safetensors allows strings only:

    format, version          "armt-memory", "1"
    fingerprint              of the model that the memory belongs to
    offset, segments         decimal: bytes of the log read, and segments absorbed
    tail                     ids past the last full segment, decimal, with spaces between
    recent                   ids before those that the model is shown again, likewise; empty for most models
    text, started            the undecided text: its bytes in base64, and "true" or "false"
    sha256                   of the whole file, header and padding too, with these 64 digits as zeros
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from armt.errors import CodecError, TextError
from armt.state import MemoryState
from armt.text import TextState, validate_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from armt.config import ArmtConfig

T = TypeVar("T")
FORMAT, VERSION = "armt-memory", "1"
_UNSEALED = "0" * hashlib.sha256().digest_size * 2


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All that a session needs to go on from `offset`.

    Attributes:
        fingerprint: of the model that made the memory.
        offset: bytes of the log that were read.
        tail_ids: ids past the last full segment, at most a segment of them.
        text: undecided text after those.
        memory: a batch of one.
    """

    fingerprint: str
    offset: int
    tail_ids: tuple[int, ...]
    text: TextState
    memory: MemoryState


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as a file; equal snapshots give equal bytes.

    Raises:
        CodecError: `decode` would refuse it, whatever the model: a value is not finite or counters disagree.
    """
    _check(snapshot)
    memory = snapshot.memory
    return _seal(
        {"W": memory.W[:, 0], "z": memory.z[:, 0]},
        {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": snapshot.fingerprint,
            "offset": str(snapshot.offset),
            "segments": str(int(memory.segments)),
            "tail": _listed(snapshot.tail_ids),
            "recent": _listed(memory.recent[0].tolist()),
            "text": base64.b64encode(snapshot.text.pending).decode(),
            "started": json.dumps(snapshot.text.started),
        },
    )


def decode(data: bytes, config: ArmtConfig, fingerprint: str) -> Snapshot:
    """The snapshot in a file, on the CPU, after every check.

    Args:
        data: what `encode` gave, or anything at all.
        config: of the model that is to use the memory.
        fingerprint: of that model.

    Raises:
        CodecError: the file must not be used; says why.
    """
    tensors, header = _open(data)
    if header.get("fingerprint") != fingerprint:
        raise CodecError(
            f"the memory belongs to another model: its fingerprint is {header.get('fingerprint')},"
            f" not {fingerprint}"
        )
    layers = len(config.memory_layers)
    shapes = {"W": (layers, config.d_key, config.d_value), "z": (layers, config.d_key)}
    if tensors.keys() != shapes.keys():
        raise CodecError(
            f"the memory file must hold the tensors W and z, not {', '.join(sorted(tensors)) or 'none'}"
        )
    for name, tensor in tensors.items():
        if (tensor.dtype, tuple(tensor.shape)) != (torch.float32, shapes[name]):
            raise CodecError(
                f"{name} is {tensor.dtype} {list(tensor.shape)} but the model needs"
                f" torch.float32 {list(shapes[name])}"
            )
    segments = torch.tensor([_field(header, "segments", _count)], dtype=torch.int64)
    recent = _field({"recent": "", **header}, "recent", _ids)  # older files have none
    snapshot = Snapshot(
        fingerprint=fingerprint,
        offset=_field(header, "offset", _count),
        tail_ids=_field(header, "tail", _ids),
        text=TextState(
            _field(header, "text", lambda text: base64.b64decode(text, validate=True)),
            started=_field(header, "started", {"true": True, "false": False}.__getitem__),
        ),
        memory=MemoryState(
            tensors["W"].unsqueeze(1),
            tensors["z"].unsqueeze(1),
            segments,
            torch.tensor([recent], dtype=torch.int64),
        ),
    )
    _check(snapshot)
    if len(snapshot.tail_ids) > config.segment_size:
        raise CodecError(
            f"the tail of {len(snapshot.tail_ids)} ids is longer than a segment of {config.segment_size}"
        )
    if len(recent) != config.overlap:
        raise CodecError(f"{len(recent)} recent ids where the model is shown {config.overlap} again")
    known = config.backbone.get("vocab_size")
    highest = max((*snapshot.tail_ids, *recent), default=0)
    if known is not None and highest >= known:
        raise CodecError(f"the tail holds id {highest}, but the model knows {known} ids")
    return snapshot


def _seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file. The header is put in order here, for the library's own varies from call to call."""
    bare = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    size = int.from_bytes(bare[:8], "little")
    fields = {"__metadata__": {**metadata, "sha256": _UNSEALED}, **json.loads(bare[8 : 8 + size])}
    header = json.dumps(fields, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    unsealed = len(header).to_bytes(8, "little") + header + bare[8 + size :]
    return unsealed.replace(_seal_field(_UNSEALED), _seal_field(hashlib.sha256(unsealed).hexdigest()), 1)


def _seal_field(digest: str) -> bytes:
    # Cannot stand inside of another field, for there its quotes would be escaped.
    return f'"sha256":"{digest}"'.encode()


def _open(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of a file that is whole."""
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CodecError(f"not a safetensors file: {error}") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    if header.get("format") != FORMAT:
        raise CodecError(
            f"a safetensors file, but not a memory: its format is {header.get('format')}, not {FORMAT}"
        )
    if header.get("version") != VERSION:
        raise CodecError(
            f"memory file version {header.get('version')} is not known: this library reads {VERSION}"
        )
    digest = header.get("sha256", "")
    unsealed = data.replace(_seal_field(digest), _seal_field(_UNSEALED), 1)
    if hashlib.sha256(unsealed).hexdigest() != digest:
        raise CodecError("the checksum does not match: the memory file is damaged")
    return tensors, header


def _field(header: Mapping[str, str], name: str, read: Callable[[str], T]) -> T:
    try:
        return read(header[name])
    except (KeyError, ValueError) as error:
        raise CodecError(f"the memory file's {name} is missing or unreadable: {header.get(name)}") from error


def _ids(text: str) -> tuple[int, ...]:
    return tuple(map(_count, text.split()))


def _listed(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 63):
        raise ValueError(text)
    return int(text)


def _check(snapshot: Snapshot) -> None:
    """What must hold whatever the model."""
    memory, text, offset = snapshot.memory, snapshot.text, snapshot.offset
    segments = int(memory.segments)
    if offset < 0 or segments < 0 or min(snapshot.tail_ids, default=0) < 0:
        raise CodecError(f"a counter or an id is negative: offset {offset}, {segments} segments")
    if text.started != (offset > len(text.pending)) or len(text.pending) > offset:
        raise CodecError(f"offset {offset} does not agree with {len(text.pending)} bytes of undecided text")
    if not text.started and (segments or snapshot.tail_ids):
        raise CodecError(
            f"{segments} segments and {len(snapshot.tail_ids)} ids from a text that has not begun"
        )
    try:
        validate_utf8(b"", text.pending, 0)
    except TextError as error:
        raise CodecError("the undecided text is not UTF-8") from error
    if not (torch.isfinite(memory.W).all() and torch.isfinite(memory.z).all()):
        raise CodecError("the memory holds a value that is not finite")
