"""Where the data folder is, for the tests that compare with published data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    folder = Path(os.environ.get("ARMT_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}: set ARMT_DATA to a folder with babi/ and books/")
    return folder
