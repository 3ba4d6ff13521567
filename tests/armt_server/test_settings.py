from __future__ import annotations

import pytest
from pydantic import ValidationError

from armt_server.errors import BadSettings
from armt_server.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ARMT_{name.upper()}", raising=False)


def test_without_any_setting_the_server_is_local_and_embedded():
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.store_url == "sqlite:///armt.db"
    assert settings.model == "open"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ARMT_PORT", "9000")
    monkeypatch.setenv("ARMT_MAX_APPEND_BYTES", "1MiB")
    settings = Settings()
    assert settings.port == 9000
    assert settings.max_append_bytes == 2**20


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ARMT_PORT", "9000")
    assert Settings(port=9001).port == 9001


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ARMT_PORT", "")
    monkeypatch.setenv("ARMT_API_KEYS_FILE", "")
    assert Settings().port == 8000


def test_settings_cannot_be_changed_once_read():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]  # the very thing that must fail


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"port": "x"}, "ARMT_PORT=x: must be a valid integer"),
        ({"port": 70000}, "ARMT_PORT=70000: must be less than or equal to 65535"),
        ({"host": ""}, "ARMT_HOST=: must not be empty"),
        ({"threads": 0}, "ARMT_THREADS=0: must be greater than or equal to 1"),
        ({"device": "gpu"}, "ARMT_DEVICE=gpu: must be auto, cpu, mps, cuda or cuda:N"),
        ({"dtype": "int8"}, "ARMT_DTYPE=int8: must be 'auto', 'float32', 'bfloat16' or 'float16'"),
        ({"max_append_bytes": "lots"}, "ARMT_MAX_APPEND_BYTES=lots: must be a number of bytes, as in"),
        ({"max_append_bytes": 0}, "ARMT_MAX_APPEND_BYTES=0: must be greater than or equal to 1"),
        ({"max_append_bytes": "20MiB"}, "ARMT_MAX_PENDING_BYTES (16777216) must be at least"),
        ({"backpressure_seconds": "nan"}, "ARMT_BACKPRESSURE_SECONDS=nan: must be a finite number"),
        ({"default_ttl_seconds": -1}, "ARMT_DEFAULT_TTL_SECONDS=-1: must be greater than or equal to 1"),
        ({"store_url": "mysql://h"}, "ARMT_STORE_URL=mysql:...: must start with one of sqlite:///, redis://"),
        ({"api_keys_file": "/k"}, "ARMT_API_KEYS_FILE=/k: API keys are not supported by this version yet"),
        ({"prot": 1}, "there is no setting named 'prot'"),
    ],
)
def test_a_bad_value_gives_one_sentence_with_the_setting_and_what_would_do(
    values: dict[str, object], sentence: str
):
    with pytest.raises(BadSettings) as caught:
        Settings(**values)
    assert caught.value.detail.startswith(sentence)
    assert "\n" not in caught.value.detail


def test_two_bad_values_give_two_sentences():
    with pytest.raises(BadSettings) as caught:
        Settings(port=-1, max_batch=0)
    assert caught.value.detail.split("; ") == [
        "ARMT_PORT=-1: must be greater than or equal to 0",
        "ARMT_MAX_BATCH=0: must be greater than or equal to 1",
    ]


def test_a_bad_store_address_does_not_print_its_password():
    with pytest.raises(BadSettings) as caught:
        Settings(store_url="reddis://user:hunter2@host")
    assert "hunter2" not in caught.value.detail
