"""The documents say what is there."""

from __future__ import annotations

import re
from pathlib import Path

import armt_server.errors
from armt_server.errors import ServerError
from armt_server.settings import Settings

ROOT = Path(__file__).parents[1]
SERVING = (ROOT / "docs" / "serving.md").read_text()
NEVER_SENT = {"log_trimmed", "bad_settings", "missing_model", "unauthorized", "forbidden"}
"""Between the floors, at start-up, or of a door that is not built yet."""


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    documented = set(re.findall(r"`ARMT_([A-Z_]+)`", SERVING))
    assert documented == {name.upper() for name in Settings.model_fields if name != "api_keys_file"}


def test_every_error_code_that_a_client_can_meet_is_documented() -> None:
    classes = [
        c for c in vars(armt_server.errors).values() if isinstance(c, type) and issubclass(c, ServerError)
    ]
    codes = {c.code for c in classes if not c.__subclasses__()} - NEVER_SENT
    missing = {code for code in codes if f"`{code}`" not in SERVING}
    assert not missing


def test_every_module_of_the_library_and_the_lab_has_a_room_in_the_structure() -> None:
    structure = (ROOT / "docs" / "structure.md").read_text()
    for folder in ("model/armt", "model/armt_lab", "service/armt_server"):
        modules = {p.name for p in (ROOT / folder).glob("*.py")} - {"__init__.py"}
        missing = {name for name in modules if f"`{name}`" not in structure}
        assert not missing, folder
