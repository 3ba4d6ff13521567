"""The client: sessions, appends and questions, over one HTTP connection pool."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack
from urllib.parse import quote

from armt_client.errors import InputError, Problem, UnexpectedReply, problem
from armt_client.events import events
from armt_client.retry import Retry
from armt_client.source import open_source
from armt_client.transport import Http, upload_offset
from armt_client.upload import Upload
from armt_client.values import Answer, Delta, Progress, Session, SessionPage
from armt_client.waiting import until_absorbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from armt_client.errors import ClientError
    from armt_client.options import AskOptions
    from armt_client.source import Text

DEFAULT_SERVER = "http://127.0.0.1:8000"
_PIECE_BYTES = 256 * 1024  # small enough for a lively progress bar, large enough that requests cost nothing
_KEEP: Any = object()  # "leave this as it is", where None has a meaning of its own


class Client:
    """Talks to one server. Use it as a context manager, or call `close`.

    Every method may raise the errors drawn in `armt_client.errors`. Threads may share a client.

        with Client() as client:
            session = client.create_session()
            client.append(session.id, Path("book.txt"))
            print(client.ask(session.id, "Where is Mary?").text)

    Args:
        server: the address, as in `http://127.0.0.1:8000`.
        api_key: sent as a bearer token, if the server asks for one.
        timeout_seconds: silence on the connection that counts as lost. The server may hold an append back for
            its `backpressure_seconds` and sends a ping every 15 s while it works on a question: stay above.
        retry: how patient appends are with a server that is away or busy. Other calls are tried once.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
        retry: Retry | None = None,
    ) -> None:
        self._http = Http(server, api_key=api_key, timeout_seconds=timeout_seconds)
        self.server = self._http.server
        self.retry = Retry() if retry is None else retry
        self._max_append_bytes: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used after it."""
        self._http.close()

    # Sessions

    def create_session(
        self,
        *,
        model: str | None = None,
        ttl_seconds: int | None = _KEEP,
        metadata: Mapping[str, str] | None = None,
        keep_source: bool = False,
    ) -> Session:
        """Make a session with an empty memory.

        Args:
            model: None for the server's own.
            ttl_seconds: seconds of disuse after which it is forgotten; None for never; left out, the server's
                default.
            metadata: notes to keep with it.
            keep_source: keep the text on the server after it is absorbed.
        """
        body: dict[str, object] = {} if model is None else {"model": model}
        if ttl_seconds is not _KEEP:
            body["ttl_seconds"] = ttl_seconds
        if metadata:
            body["metadata"] = dict(metadata)
        if keep_source:
            body["keep_source"] = True
        return Session.from_json(self._http.json("POST", "/v1/sessions", json=body))

    def get_session(self, session_id: str) -> Session:
        """A session as it is now."""
        return Session.from_json(self._http.json("GET", _path(session_id)))

    def list_sessions(self, *, limit: int | None = None, after: str | None = None) -> SessionPage:
        """One page of sessions, newest first; `after` is the `last_id` of the page before."""
        wanted = {"limit": limit, "after": after}
        params = {name: value for name, value in wanted.items() if value is not None}
        return SessionPage.from_json(self._http.json("GET", "/v1/sessions", params=params))

    def sessions(self) -> Iterator[Session]:
        """All sessions, newest first, fetched a page at a time."""
        page = self.list_sessions()
        yield from page.sessions
        while page.has_more and page.last_id is not None:
            page = self.list_sessions(after=page.last_id)
            yield from page.sessions

    def update_session(
        self, session_id: str, *, ttl_seconds: int | None = _KEEP, metadata: Mapping[str, str] = _KEEP
    ) -> Session:
        """Change what is given and leave the rest; `ttl_seconds=None` means that it never expires."""
        body: dict[str, object] = {}
        if ttl_seconds is not _KEEP:
            body["ttl_seconds"] = ttl_seconds
        if metadata is not _KEEP:
            body["metadata"] = dict(metadata)
        return Session.from_json(self._http.json("PATCH", _path(session_id), json=body))

    def delete_session(self, session_id: str) -> None:
        """Forget a session and all that it read."""
        self._http.call("DELETE", _path(session_id))

    # Reading

    def offset(self, session_id: str) -> int:
        """The session's length in bytes: where the next append starts."""
        try:
            return upload_offset(self._http.call("HEAD", f"{_path(session_id)}/context"))
        except Problem:
            self.get_session(session_id)  # a reply to HEAD has no body; this one says what is wrong
            raise

    def append(
        self,
        session_id: str,
        text: Text | Path,
        *,
        at: int | None = None,
        progress: Callable[[Progress], None] = lambda _progress: None,
        piece_bytes: int = _PIECE_BYTES,
    ) -> int:
        """Stream a text into a session. Returns the session's new length in bytes.

        When this returns the text is durable on the server, and may still be being absorbed (`wait_absorbed`;
        a question waits by itself). Lost connections, 429 and 503 are waited out as `retry` says.

        Args:
            session_id: the session.
            text: bytes, a string, a path, a binary file or pipe, or an iterable of pieces.
            at: the session offset of the text's first byte. None: after what is there. A number: what the
                session holds from there on is taken to be the beginning of this text and is not sent again,
                so `at=0` resumes an upload that was cut off. Only the length is checked; that it is the same
                text is trusted.
            progress: called after each piece and before each wait.
            piece_bytes: bytes a request at most; the server's own limit is never exceeded.

        Raises:
            InputError: the text does not reach the session's offset, or a stream cannot go back to it.
            OffsetMismatch: with `at=None`, somebody else appended meanwhile.
        """
        piece_bytes = min(piece_bytes, self._append_limit())
        with contextlib.ExitStack() as files:
            opened = files.enter_context(text.open("rb")) if isinstance(text, Path) else text
            offset = self.offset(session_id)
            upload = Upload(
                source=open_source(opened, piece_bytes),
                start=offset if at is None else at,
                shared=at is not None,
                piece_bytes=piece_bytes,
                put=lambda where, piece: self._put(session_id, where, piece),
                retry=self.retry,
                progress=progress,
            )
            return upload.run(offset)

    def wait_absorbed(
        self,
        session_id: str,
        *,
        upto: int | None = None,
        progress: Callable[[Session], None] = lambda _session: None,
        waiting: Callable[[ClientError, float], None] = lambda _error, _seconds: None,
        stall_seconds: float = 120.0,
    ) -> Session:
        """Wait until the session's text is read into its memory.

        Args:
            session_id: the session.
            upto: bytes to wait for; None for all that the session holds now.
            progress: called with the session each time it was looked at.
            waiting: called before each wait for a server that is away, with the error and the seconds.
            stall_seconds: give up after so long without a byte absorbed.

        Raises:
            TimedOut: nothing moved for `stall_seconds`.
        """
        return until_absorbed(
            lambda: self._look(session_id),
            upto=upto,
            progress=progress,
            waiting=waiting,
            stall_seconds=stall_seconds,
            retry=self.retry,
        )

    # Asking

    def ask(self, session_id: str, question: str, **options: Unpack[AskOptions]) -> Answer:
        """Ask, and wait for the whole answer; otherwise as `ask_stream`."""
        return next(
            part for part in self.ask_stream(session_id, question, **options) if isinstance(part, Answer)
        )

    def ask_stream(
        self, session_id: str, question: str, **options: Unpack[AskOptions]
    ) -> Iterator[Delta | Answer]:
        """Ask, and get the answer as it is made: `Delta`s, then one `Answer`.

        Asking never changes the session. The server first absorbs what it has accepted, so the answer stands
        on all that was appended before.

        Args:
            session_id: the session.
            question: of which the server takes `max_question_tokens` tokens at most.
            options: how the answer is to be made: see `AskOptions`.
        """
        body = {"question": question, "stream": True}
        body |= {name: value for name, value in options.items() if value is not None}
        if isinstance(body.get("stop"), str):
            body["stop"] = [body["stop"]]
        # A stream even for a whole answer: its pings tell a server at work from one that is gone.
        with self._http.stream("POST", f"{_path(session_id)}/queries", body) as chunks:
            for event in events(chunks):
                if event.name == "query.output_text.delta":
                    yield Delta(str(event.data.get("delta", "")))
                elif event.name == "query.completed":
                    yield Answer.from_json(event.data)
                    return
                elif event.name == "query.failed":
                    raise problem(int(event.data.get("status", 500)), event.data)
        raise UnexpectedReply("the answer's stream ended before the answer did: ask again")

    # The server

    def limits(self) -> dict[str, Any]:
        """The server's numeric limits by name, as `max_append_bytes` and `max_question_tokens`."""
        return self._http.json("GET", "/v1/limits")

    def models(self) -> list[str]:
        """The ids of the models that this server serves."""
        data = self._http.json("GET", "/v1/models").get("data")
        if not isinstance(data, list):
            raise UnexpectedReply("the list of models has no data: is this an ARMT server?")
        return [str(model["id"]) for model in data if isinstance(model, dict) and "id" in model]

    def _look(self, session_id: str) -> Session:
        # A server that knows the preference reads on, and answers when it is done or the second is over.
        headers = {"Prefer": "wait=1"}
        return Session.from_json(self._http.json("GET", _path(session_id), headers=headers))

    def _append_limit(self) -> int:
        if self._max_append_bytes is None:
            told = self.limits().get("max_append_bytes")
            if not isinstance(told, int) or told < 1:
                raise UnexpectedReply(f"the server's max_append_bytes is {told!r}: is this an ARMT server?")
            self._max_append_bytes = told
        return self._max_append_bytes

    def _put(self, session_id: str, offset: int, piece: bytes) -> int:
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        path = f"{_path(session_id)}/context"
        return upload_offset(self._http.call("PATCH", path, content=piece, headers=headers))


def _path(session_id: str) -> str:
    if not session_id.strip(". /"):
        raise InputError(
            f"{session_id!r} is not a session id: give the id that creating the session returned"
        )
    return f"/v1/sessions/{quote(session_id, safe='')}"
