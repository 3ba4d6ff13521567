"""What the machine is asked to do for tensors."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from armt import hardware
{before}
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def round():
    held = [b"x" * 2**24 for _ in range(4)]
round()
before = pages()
for _ in range(5):
    round()
print(pages() - before)
"""


def faults(before: str = "") -> int:
    """Pages that a process of its own faults in while it takes 64 MB and frees it, five times over."""
    script = FAULTS.format(before=before)
    return int(subprocess.check_output([sys.executable, "-c", script]))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_a_process_that_keeps_freed_memory_does_not_fault_it_in_again() -> None:
    assert faults() > 10_000
    assert faults("hardware.keep_freed_memory()") < 1_000
