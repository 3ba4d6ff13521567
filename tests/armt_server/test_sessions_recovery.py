from __future__ import annotations

import asyncio
import logging

import hash_chain
import pytest
from hash_chain import HashChain, answer_at_once
from hypothesis import given, settings
from hypothesis import strategies as st
from workers import PROSE, SOON, assert_read, working

import tiny
from armt.decode import decode
from armt.sampling import Sampling
from armt_server.errors import FingerprintMismatch
from armt_server.sessions.reading import MOST_FOLD_BYTES
from armt_server.sessions.snapshots import MARGIN

ASKED = Sampling(max_tokens=24)
SIZE = len(PROSE.encode())


async def _session_with_snapshots(url: str, count: int, **options: object) -> str:
    """A session with `PROSE` so many times, each in a snapshot of its own as far as they are kept."""
    async with working(url) as worker:
        session_id = await worker.create(**options)
        for _ in range(count):
            await worker.append(session_id, PROSE)
            await worker.saved(session_id)
        return session_id


async def _spoil(url: str, session_id: str, offset: int) -> None:
    async with working(url) as worker:
        data = await worker.store.get_snapshot(session_id, offset)
        assert data is not None
        spoiled = bytearray(data)
        spoiled[len(data) // 2] ^= 1
        await worker.store.put_snapshot(session_id, offset, bytes(spoiled))


async def test_another_worker_goes_on_from_the_snapshot(any_url: str):
    session_id = await _session_with_snapshots(any_url, 1)
    async with working(any_url) as worker:
        assert not (await worker.sessions.status(session_id)).resident
        assert (await worker.sessions.status(session_id)).absorbed_offset == SIZE
        await worker.append(session_id, PROSE, SIZE)
        answer = await worker.ask(session_id)
        assert answer.text == answer_at_once(PROSE * 2, "Where?", ASKED)
        assert_read(worker, session_id, PROSE * 2)


async def test_a_killed_worker_loses_nothing_that_was_acknowledged(any_url: str):
    model = HashChain()
    async with working(any_url, model) as first:
        session_id = await first.create()
        model.gate.clear()
        await first.append(session_id, PROSE * 20)
        assert await asyncio.to_thread(model.arrived.wait, SOON)
        killing = asyncio.create_task(first.kill())
        model.gate.set()
        await killing
    async with working(any_url) as second:
        answer = await second.ask(session_id)
        assert answer.text == answer_at_once(PROSE * 20, "Where?", ASKED)
        assert answer.usage.memory_source == "replay"


async def test_a_worker_that_closes_saves_what_it_has_read(url: str):
    async with working(url) as first:
        session_id = await first.create()
        await first.append(session_id, PROSE)
        await first.read(session_id)
    async with working(url) as second:
        assert (await second.store.get(session_id)).snapshot_offset == SIZE
        assert (await second.ask(session_id)).usage.memory_source == "snapshot"


async def test_a_worker_that_closes_in_the_middle_saves_up_to_a_boundary(url: str):
    model = HashChain()
    text = PROSE * 900  # several pieces of the fold
    async with working(url, model) as first:
        session_id = await first.create()
        await first.append(session_id, text)
        while (found := first.sessions._absorber.find(session_id)) is None or not found.folded.segments:
            model.arrived.clear()
            assert await asyncio.to_thread(model.arrived.wait, SOON)
        await first.sessions.close(SOON)
        saved = (await first.store.get(session_id)).snapshot_offset
    assert 0 < saved < len(text.encode())
    async with working(url) as second:
        await second.read(session_id)
        assert_read(second, session_id, text)


async def test_a_session_that_rests_is_saved(url: str):
    async with working(url, idle_seconds=0.01) as worker:
        session_id = await worker.create()
        await worker.append(session_id, PROSE)
        await worker.idle()
        assert (await worker.store.get(session_id)).snapshot_offset == SIZE


async def test_a_long_text_is_saved_every_so_many_segments_and_its_log_is_trimmed(any_url: str):
    pieces, piece = 24, "Mary went to the kitchen and then to the garden. " * 320
    async with working(any_url, snapshot_segments=300) as worker:
        session_id = await worker.create()
        for _ in range(pieces):
            await worker.append(session_id, piece)
        await worker.read(session_id)
        unsaved = len(piece) * pieces - (await worker.store.get(session_id)).snapshot_offset
        assert unsaved <= 300 * 8 + MOST_FOLD_BYTES
        record = await worker.saved(session_id)
        _, older = await worker.store.snapshots(session_id)
        assert 0 < record.log_start <= older - MARGIN
        assert record.log_start > older - MARGIN - len(piece)


async def test_a_session_that_keeps_its_source_is_never_trimmed(url: str):
    session_id = await _session_with_snapshots(url, 4, keep_source=True)
    async with working(url) as worker:
        assert (await worker.store.get(session_id)).log_start == 0
        assert len(await worker.store.snapshots(session_id)) == 2


async def test_a_bad_newest_snapshot_is_passed_over_for_the_older_one(
    any_url: str, caplog: pytest.LogCaptureFixture
):
    session_id = await _session_with_snapshots(any_url, 5)
    await _spoil(any_url, session_id, 5 * SIZE)
    async with working(any_url) as worker:
        assert (await worker.store.get(session_id)).log_start > 0
        with caplog.at_level(logging.WARNING):
            answer = await worker.ask(session_id)
        assert answer.text == answer_at_once(PROSE * 5, "Where?", ASKED)
        assert answer.usage.memory_source == "snapshot"
        assert answer.usage.segments_replayed > 0
        assert f"the snapshot at {5 * SIZE} is passed over" in caplog.text


async def test_without_any_good_snapshot_a_whole_log_is_read_again(url: str):
    session_id = await _session_with_snapshots(url, 2, keep_source=True)
    for offset in (SIZE, 2 * SIZE):
        await _spoil(url, session_id, offset)
    async with working(url) as worker:
        answer = await worker.ask(session_id)
        assert answer.text == answer_at_once(PROSE * 2, "Where?", ASKED)
        assert answer.usage.memory_source == "replay"


async def test_without_any_good_snapshot_and_a_trimmed_log_the_session_is_lost_and_says_why(url: str):
    session_id = await _session_with_snapshots(url, 3)
    for offset in (2 * SIZE, 3 * SIZE):
        await _spoil(url, session_id, offset)
    limits = {"max_append_bytes": SIZE, "max_pending_bytes": SIZE, "backpressure_seconds": SOON}
    async with working(url, **limits) as worker:
        with pytest.raises(FingerprintMismatch, match=f"snapshot at {3 * SIZE}: .*keep_source"):
            await worker.ask(session_id)
        await worker.append(session_id, "no longer than there is room for")
        with pytest.raises(FingerprintMismatch):  # held back, it learns why no room will come
            await worker.append(session_id, PROSE)


async def test_another_model_reads_a_kept_source_again(url: str):
    kept, lost = [await _session_with_snapshots(url, 3, keep_source=keep) for keep in (True, False)]
    async with working(url, checkpoint=hash_chain.checkpoint(fingerprint="1" * 64)) as worker:
        answer = await worker.ask(kept)
        assert answer.text == answer_at_once(PROSE * 3, "Where?", ASKED)
        assert answer.usage.memory_source == "replay"
        with pytest.raises(FingerprintMismatch, match="fingerprint"):
            await worker.ask(lost)
        await worker.append(kept, PROSE)
        await worker.saved(kept)
        assert_read(worker, kept, PROSE * 4)


async def test_a_worker_that_fell_behind_takes_what_the_other_saved(url: str):
    async with working(url) as slow, working(url) as fast:
        session_id = await slow.create()
        await slow.append(session_id, PROSE)
        await slow.read(session_id)
        for _ in range(6):
            await fast.append(session_id, PROSE)
            await fast.saved(session_id)
        assert (await slow.store.get(session_id)).log_start > SIZE
        assert (await slow.ask(session_id)).text == answer_at_once(PROSE * 7, "Where?", ASKED)
        assert_read(slow, session_id, PROSE * 7)
        await slow.append(session_id, PROSE)
        await slow.saved(session_id)
        await fast.read(session_id)
        assert_read(fast, session_id, PROSE * 8)


async def test_two_workers_that_save_by_turns_leave_a_recoverable_session(any_url: str):
    async with working(any_url) as one, working(any_url) as other:
        session_id = await one.create()
        for i in range(8):
            await (one, other)[i % 2].append(session_id, PROSE)
            await asyncio.gather(one.read(session_id), other.read(session_id))
            await (other, one)[i % 2].saved(session_id)
    async with working(any_url) as third:
        await third.read(session_id)
        assert_read(third, session_id, PROSE * 8)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_pieces_and_any_kills_give_the_memory_of_one_piece(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    text = data.draw(st.text("ab é日🐈.", max_size=120), label="text")
    stream = text.encode()
    url = f"sqlite:///{tmp_path_factory.mktemp('any') / 'armt.db'}"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8), label="cuts"))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]
    fates = [data.draw(st.sampled_from(["go on", "read", "save", "ask", "close", "kill"])) for _ in pieces]

    async def live() -> None:
        session_id, at = None, 0
        todo = list(zip(pieces, fates, strict=True))
        while todo or session_id is None:
            async with working(url, snapshot_segments=2) as worker:
                session_id = session_id or await worker.create()
                while todo:
                    piece, fate = todo.pop(0)
                    at = await worker.append(session_id, piece, at)
                    if fate == "read":
                        await worker.read(session_id)
                    elif fate == "save":
                        await worker.saved(session_id)
                    elif fate == "ask":
                        await worker.ask(session_id)
                    elif fate != "go on":
                        await (worker.kill() if fate == "kill" else worker.sessions.close(SOON))
                        break
        async with working(url) as last:
            await last.read(session_id)
            assert_read(last, session_id, text)
            assert (await last.ask(session_id)).text == answer_at_once(text, "Where?", ASKED)

    asyncio.run(live())


async def test_a_real_model_answers_alike_whole_in_bytes_and_after_a_kill(any_url: str):
    checkpoint = tiny.checkpoint()
    text = PROSE
    async with working(any_url, checkpoint=checkpoint, decode=decode) as worker:
        whole, bytewise, killed = [await worker.create() for _ in range(3)]
        await worker.append(whole, text)
        for byte in text.encode():
            await worker.append(bytewise, bytes([byte]))
        await worker.append(killed, text[:30])
        await worker.saved(killed)
        answers = [await worker.ask(whole), await worker.ask(bytewise)]
        await worker.append(killed, text[30:])
        await worker.kill()
    async with working(any_url, checkpoint=checkpoint, decode=decode) as worker:
        answers.append(await worker.ask(killed))
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.usage.context_tokens for answer in answers}) == 1
