"""Where a model runs and in what numbers."""

from __future__ import annotations

import ctypes
import sys

import torch

from armt.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""

HELD, LARGE = 2**31 - 1, 2**25
"""Bytes of freed memory that may be kept, and of a block that is given back: the most that glibc takes."""


def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed tensors for the next ones, for all of this process.

    By default glibc gives it back to the system whenever some megabytes are free, which is after almost every
    operation on many segments: the next one faults each page in anew. Other C libraries are left as they are.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_TRIM_THRESHOLD, HELD)
        mallopt(M_MMAP_THRESHOLD, LARGE)


def device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one.

    Raises:
        ConfigError: it is not known or not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return found


def dtype(name: str, place: torch.device, *, keep_float32: bool = False) -> torch.dtype:
    """What the backbone's weights are held in on a device.

    Args:
        name: float32, bfloat16, float16, or "auto": bfloat16 where the hardware multiplies it, else float32.
        place: where the model runs.
        keep_float32: the model was made for float32, so that "auto" means it.

    Raises:
        ConfigError: there is no such choice.
    """
    if name != "auto":
        if name not in DTYPES:
            raise ConfigError(f"dtype {name!r} is not one of auto, {', '.join(DTYPES)}")
        return DTYPES[name]
    return torch.float32 if keep_float32 or not _multiplies_bfloat16(place) else torch.bfloat16


def _multiplies_bfloat16(place: torch.device) -> bool:
    """Whether the hardware itself multiplies bfloat16; where it does not, float32 is faster and finer."""
    if place.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if place.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16"))
