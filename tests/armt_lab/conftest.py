"""The data folder, for tests that compare with published data; and a folder for runs of training."""

from __future__ import annotations

import os
import random
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import CPU, TINY

from armt_lab import prose
from armt_lab.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As `train_by` has it: where the cores are busy, threads within an operation wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    folder = Path(os.environ.get("ARMT_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}: set ARMT_DATA to a folder with babi/ and books/")
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small book and the tokenizer of TINY, whose training takes most of the time."""
    folder = tmp_path_factory.mktemp("runs")
    text = "".join(islice(prose.sentences(random.Random(0)), 300))
    (folder / "books").mkdir()
    (folder / "books" / "small.txt").write_text(text)
    Trainer(TINY, folder / "first", folder / "books", CPU)
    return folder
