from __future__ import annotations

from typing import TYPE_CHECKING

import tiny
from armt import checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run


def test_the_mean_of_two_models_can_be_loaded_and_of_two_kinds_there_is_none(
    armt: Run, tmp_path: Path
) -> None:
    first, second = (str(tiny.save(tmp_path / name, seed=seed)) for seed, name in enumerate(("one", "other")))
    ran = armt("average", first, second, "--export", tmp_path / "mean")
    assert ran.code == 0, ran.err
    assert f"armt serve --model {tmp_path / 'mean'}" in ran.err
    assert checkpoint.load(str(tmp_path / "mean"), "cpu").name == "mean"

    ran = armt("average", "open", "bundled", "--export", tmp_path / "none")
    assert ran.code == 2
    assert "differ in their config" in ran.err
    assert not (tmp_path / "none").exists()
