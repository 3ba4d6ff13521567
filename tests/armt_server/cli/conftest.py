from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

import tiny
from armt_client import Client
from armt_server.app import create_app
from armt_server.cli import main
from armt_server.settings import Settings
from serving import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *arguments: str | Path) -> Ran: ...


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, on disk."""
    return tiny.save(tmp_path_factory.mktemp("model") / "tiny", segment_size=64)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[str]:
    """The address of a real server; tests share it, each with sessions of its own."""
    store = tmp_path_factory.mktemp("store") / "armt.db"
    settings = Settings(model=str(model), device="cpu", store_url=f"sqlite:///{store}", port=0)
    with running(create_app(settings), asyncio.Event()) as server:
        yield server.url


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with Client(server) as made:
        yield made


@pytest.fixture
def armt(server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `armt ARGUMENTS` in this process, against the server."""
    monkeypatch.setenv("ARMT_SERVER", server)

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert left.value.code is None or isinstance(left.value.code, int)
        return Ran(left.value.code or 0, printed.out, printed.err)

    return run
