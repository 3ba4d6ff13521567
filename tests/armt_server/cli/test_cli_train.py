from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run


def test_a_recipe_that_is_not_there_or_is_none_is_told(armt: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "none.toml"
    for content, told in (
        (None, "none.toml"),
        ('name = "x"', "has no [[stage]]"),
        ("name = x", "Invalid value"),
    ):
        if content is not None:
            recipe.write_text(content)
        ran = armt("train", recipe)
        assert ran.code == 2
        assert told in ran.err
