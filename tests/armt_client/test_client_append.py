from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import Fault

from armt_client import (
    ClientError,
    ConnectionFailed,
    InputError,
    NotFound,
    OffsetMismatch,
    Problem,
    Progress,
    ServerFault,
    TimedOut,
)

if TYPE_CHECKING:
    from pathlib import Path

    from scripted import ScriptedServer

    from armt_client import Client
    from armt_client.source import Text

TEXT = bytes(range(97, 123)) * 4  # 104 bytes
LOSSES = [Fault.DROPPED_HALFWAY, Fault.REPLY_LOST, Fault.BUSY, Fault.AWAY]


def texts(tmp_path: Path) -> dict[str, Text | Path]:
    path = tmp_path / "text"
    path.write_bytes(TEXT)
    return {
        "bytes": TEXT,
        "a string": TEXT.decode(),
        "a path": path,
        "a file": io.BytesIO(TEXT),
        "an iterator of bytes": (TEXT[i : i + 3] for i in range(0, len(TEXT), 3)),
        "an iterator of strings": iter(TEXT.decode()),
    }


@pytest.mark.parametrize(
    "kind", ["bytes", "a string", "a path", "a file", "an iterator of bytes", "an iterator of strings"]
)
def test_any_kind_of_text_arrives_whole(
    client: Client, server: ScriptedServer, session_id: str, tmp_path: Path, kind: str
) -> None:
    assert client.append(session_id, texts(tmp_path)[kind], piece_bytes=10) == 104
    assert server.texts[session_id] == TEXT
    assert all(len(piece) <= 10 for _, piece in server.appends)


def test_a_pipe_is_sent_as_it_comes_and_to_its_end(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    reading, writing = os.pipe()
    first_arrived = threading.Event()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            pipe.write(b"first")
            first_arrived.wait(10)
            pipe.write(b"second")

    thread = threading.Thread(target=write)
    thread.start()
    seen: list[int] = []

    def progress(told: Progress) -> None:
        seen.append(told.offset)
        if told.offset == 5:
            first_arrived.set()
        assert told.end is None

    with os.fdopen(reading, "rb") as pipe:
        client.append(session_id, pipe, progress=progress)
    thread.join()
    assert server.texts[session_id] == b"firstsecond"
    assert seen == [0, 5, 11]


@given(
    data=st.data(),
    faults=st.lists(st.sampled_from([Fault.NONE, *LOSSES]), max_size=12),
    piece_bytes=st.integers(1, 40),
    stream=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_network_does_the_session_holds_the_text_once(
    client: Client,
    server: ScriptedServer,
    data: st.DataObject,
    faults: list[Fault],
    piece_bytes: int,
    *,
    stream: bool,
) -> None:
    for fault in faults:
        # Never three in a row that count: the client of these tests gives up then.
        server.faults.extend((fault, Fault.NONE))
    session = client.create_session().id
    already = data.draw(st.integers(0, len(TEXT)), label="bytes there before")
    server.texts[session] += TEXT[:already]
    source = iter([TEXT[:50], TEXT[50:]]) if stream else TEXT
    assert client.append(session, source, at=0, piece_bytes=piece_bytes) == len(TEXT)
    assert server.texts[session] == TEXT
    server.faults.clear()


def test_resuming_sends_nothing_twice(client: Client, server: ScriptedServer, session_id: str) -> None:
    server.texts[session_id] += TEXT[:60]
    client.append(session_id, TEXT, at=0, piece_bytes=30)
    assert server.appends == [(60, TEXT[60:90]), (90, TEXT[90:])]


def test_resuming_a_whole_text_sends_nothing(client: Client, server: ScriptedServer, session_id: str) -> None:
    server.texts[session_id] += TEXT
    assert client.append(session_id, TEXT, at=0) == 104
    assert server.appends == []


def test_without_a_place_the_text_goes_after_what_is_there(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    client.append(session_id, "one ")
    client.append(session_id, "two ")
    assert server.texts[session_id] == b"one two "


def test_an_empty_text_sends_nothing(client: Client, server: ScriptedServer, session_id: str) -> None:
    assert client.append(session_id, b"") == 0
    assert server.appends == []


def test_a_piece_is_never_larger_than_the_server_allows(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    server.max_append_bytes = 7
    client.append(session_id, TEXT)
    assert max(len(piece) for _, piece in server.appends) == 7


def test_a_session_longer_than_the_text_is_refused(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    server.texts[session_id] += TEXT + b"more"
    with pytest.raises(InputError, match=r"already holds 108 bytes .* has only 104"):
        client.append(session_id, TEXT, at=0)
    with pytest.raises(InputError, match=r"already holds 108 bytes .* has only 104"):
        client.append(session_id, iter([TEXT]), at=0)
    assert server.appends == []


def test_a_text_cannot_start_past_the_sessions_end(client: Client, session_id: str) -> None:
    with pytest.raises(InputError, match="holds 0 bytes, so a text cannot start at byte 5"):
        client.append(session_id, TEXT, at=5)


def test_a_file_in_text_mode_is_refused(client: Client, session_id: str) -> None:
    with pytest.raises(InputError, match="binary mode"):
        client.append(session_id, io.StringIO("text"))


def test_another_writer_is_noticed_when_appending_at_the_end(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    def intrude(progress: Progress) -> None:
        if progress.offset == 10:
            server.texts[session_id] += b"intruder"

    with pytest.raises(OffsetMismatch) as caught:
        client.append(session_id, TEXT, piece_bytes=10, progress=intrude)
    assert caught.value.current == 18


def test_another_run_of_the_same_upload_is_joined_when_resuming(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    def other_run(progress: Progress) -> None:
        if progress.offset == 10:
            server.texts[session_id] += TEXT[10:50]

    client.append(session_id, TEXT, at=0, piece_bytes=10, progress=other_run)
    assert server.texts[session_id] == TEXT


def test_a_server_that_forgot_gets_it_again_from_a_file_but_not_from_a_stream(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    def forget(progress: Progress) -> None:
        if progress.offset == 30 and not forgotten:
            forgotten.append(True)
            del server.texts[session_id][10:]

    forgotten: list[bool] = []
    client.append(session_id, TEXT, at=0, piece_bytes=10, progress=forget)
    assert server.texts[session_id] == TEXT

    server.texts[session_id].clear()
    forgotten.clear()
    with pytest.raises(InputError, match="byte 10 of the stream again, which is gone"):
        client.append(session_id, iter([TEXT]), at=0, piece_bytes=10, progress=forget)


def test_retry_after_is_honoured_and_told(
    client: Client, server: ScriptedServer, session_id: str, waits: list[float]
) -> None:
    server.faults.extend([Fault.BUSY, Fault.AWAY])
    told: list[ClientError | None] = []
    client.append(session_id, TEXT, progress=lambda progress: told.append(progress.waiting))
    codes = [error.code for error in told if isinstance(error, Problem)]
    assert codes == ["too_many_pending", "shutting_down"]
    assert 7 <= waits[0] <= 7 * 1.25
    assert 3 <= waits[1] <= 3 * 1.25


def test_a_lost_connection_is_waited_out_longer_each_time(
    client: Client, server: ScriptedServer, session_id: str, waits: list[float]
) -> None:
    server.faults.extend([Fault.REPLY_LOST, Fault.DROPPED_HALFWAY])
    client.append(session_id, TEXT)
    assert server.texts[session_id] == TEXT
    assert waits[0] < waits[1]


def test_patience_ends(client: Client, server: ScriptedServer, session_id: str) -> None:
    server.faults.extend([Fault.DROPPED_HALFWAY] * 3)
    with pytest.raises(ConnectionFailed):
        client.append(session_id, TEXT)
    assert server.texts[session_id] == b""


def test_a_busy_server_is_waited_for_as_long_as_it_takes(
    client: Client, server: ScriptedServer, session_id: str, waits: list[float]
) -> None:
    server.faults.extend([Fault.BUSY] * 20)
    client.append(session_id, TEXT)
    assert len(waits) == 20


def test_a_fault_that_no_repetition_mends_is_raised_at_once(
    client: Client, server: ScriptedServer, session_id: str, waits: list[float]
) -> None:
    server.faults.append(Fault.NOT_OURS)
    with pytest.raises(ServerFault, match="502 <html>Bad Gateway"):
        client.append(session_id, TEXT)
    assert waits == []


def test_an_unknown_session_is_told_though_a_reply_to_head_has_no_body(client: Client) -> None:
    with pytest.raises(NotFound, match="session_not_found: do this"):
        client.append("nobody", TEXT)


def test_waiting_for_absorption_tells_each_step(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    server.absorbs_a_look = 40
    client.append(session_id, TEXT)
    seen: list[int] = []
    session = client.wait_absorbed(session_id, progress=lambda s: seen.append(s.context.absorbed_bytes))
    assert seen == [40, 80, 104]
    assert session.context.absorbed_bytes == session.context.bytes == 104


def test_waiting_for_absorption_outlives_a_lost_connection_and_tells_it(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    client.append(session_id, TEXT)
    server.lost_looks = 2
    told: list[type[ClientError]] = []
    client.wait_absorbed(session_id, waiting=lambda error, _seconds: told.append(type(error)))
    assert told == [ConnectionFailed, ConnectionFailed]
    assert server.looks == ["wait=1"]


def test_waiting_for_absorption_that_stands_still_ends(
    client: Client, server: ScriptedServer, session_id: str
) -> None:
    server.absorbs_a_look = 0
    client.append(session_id, TEXT)
    with pytest.raises(TimedOut, match="0 of 104 bytes"):
        client.wait_absorbed(session_id, stall_seconds=0)
