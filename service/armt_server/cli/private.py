"""A server of one's own, for as long as a command runs."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from armt_server.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

_READY = re.compile(r"ready at (http://\S+)")
_STOP_SECONDS = 30


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of a server on a free port with a store of its own, both gone at the end."""
    with tempfile.TemporaryDirectory(prefix="armt-") as folder:
        log = Path(folder, "log")
        command = [sys.executable, "-m", "armt_server.cli", "serve", "--port", "0", "--host", "127.0.0.1"]
        command += ["--store-url", f"sqlite:///{folder}/armt.db"]
        with (
            log.open("w") as stderr,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,  # noqa: S603
        ):
            try:
                yield _address(process, log)
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_SECONDS)
                process.kill()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := _READY.search(line):
            return found[1]
    lines = log.read_text().strip().splitlines() or ["it said nothing"]
    raise common.Stop("The server did not start", lines[-1].removeprefix("error: "), code=common.USAGE)
