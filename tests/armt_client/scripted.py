"""A server that keeps the contract of sessions and appends, and fails exactly as it is told.

It does not stand in for the real service (the command line's tests run that): it is there for what a real one
does only by bad luck. Every append that it saw is in `appends`.
"""

from __future__ import annotations

import contextlib
import enum
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fault(enum.Enum):
    """What goes wrong with one append."""

    NONE = "nothing"
    DROPPED_HALFWAY = "the connection breaks when half of the body has come; nothing is kept"
    REPLY_LOST = "the bytes are kept, and the connection breaks before the reply"
    BUSY = "429, Retry-After: 7"
    AWAY = "503, Retry-After: 3"
    NOT_OURS = "502 with a page of HTML, as a proxy gives"


_REPLIES = {Fault.BUSY: (429, "too_many_pending", "7"), Fault.AWAY: (503, "shutting_down", "3")}


class ScriptedServer(ThreadingHTTPServer):
    """Serves on a free port of this machine from a thread; `with ScriptedServer.running() as server:`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts: dict[str, bytearray] = {}
        self.last: dict[str, tuple[int, bytes]] = {}
        self.faults: deque[Fault] = deque()
        self.appends: list[tuple[int, bytes]] = []
        self.bodies: list[Any] = []
        self.max_append_bytes = 1 << 20
        self.absorbs_a_look = 1 << 30  # bytes absorbed each time that the session is looked at
        self.absorbed: dict[str, int] = {}
        self.looks: list[str | None] = []  # the Prefer header of each look at a session
        self.lost_looks = 0  # so many looks more lose their connection
        self.events = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        with cls() as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Be silent."""

    def do_GET(self) -> None:
        if self.path == "/v1/limits":
            self._json(200, {"max_append_bytes": self.server.max_append_bytes})
        elif self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": "bundled"}]})
        elif self.path == "/v1/sessions":
            sessions = [self._session(name) for name in self.server.texts]
            self._json(200, {"object": "list", "data": sessions, "has_more": False, "last_id": None})
        elif self.server.lost_looks:
            self.server.lost_looks -= 1
            self.close_connection = True
        elif (name := self._name()) is not None:
            self.server.looks.append(self.headers["Prefer"])
            self._json(200, self._session(name))

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self._body()))
        if self.path == "/v1/sessions":
            name = f"s{len(self.server.texts)}"
            self.server.texts[name] = bytearray()
            self._json(201, self._session(name))
        else:
            self._reply(200, self.server.events, {"Content-Type": "text/event-stream"})

    def do_HEAD(self) -> None:
        if (name := self._name()) is not None:
            self._reply(200, b"", {"Upload-Offset": str(len(self.server.texts[name]))})

    def do_PATCH(self) -> None:
        name = self._name()
        if name is None:
            return
        fault = self.server.faults.popleft() if self.server.faults else Fault.NONE
        length = int(self.headers["Content-Length"])
        if fault is Fault.DROPPED_HALFWAY:
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        offset, piece = int(self.headers["Upload-Offset"]), self._body()
        if fault in _REPLIES:
            status, code, seconds = _REPLIES[fault]
            self._problem(status, code, {"Retry-After": seconds})
            return
        if fault is Fault.NOT_OURS:
            self._reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
            return
        self._append(name, offset, piece, lose_reply=fault is Fault.REPLY_LOST)

    def _append(self, name: str, offset: int, piece: bytes, *, lose_reply: bool) -> None:
        text = self.server.texts[name]
        self.server.appends.append((offset, piece))
        if offset == len(text):
            text += piece
            self.server.last[name] = (offset, piece)
        elif self.server.last.get(name) != (offset, piece):
            self._problem(409, "offset_mismatch", {"Upload-Offset": str(len(text))})
            return
        if lose_reply:
            self.close_connection = True
            return
        self._reply(204, b"", {"Upload-Offset": str(len(text))})

    def _name(self) -> str | None:
        name = self.path.split("/")[3]
        if name in self.server.texts:
            return name
        self._problem(404, "session_not_found", {})
        return None

    def _session(self, name: str) -> dict[str, Any]:
        size = len(self.server.texts[name])
        absorbed = min(self.server.absorbed.get(name, 0) + self.server.absorbs_a_look, size)
        self.server.absorbed[name] = absorbed
        return {
            "id": name,
            "object": "session",
            "model": "bundled",
            "created_at": 1700000000.5,
            "expires_at": None,
            "ttl_seconds": None,
            "metadata": {},
            "keep_source": False,
            "context": {
                "bytes": size,
                "absorbed_bytes": absorbed,
                "tokens": absorbed // 4,
                "segments": absorbed // 512,
                "resident": True,
                "memory_bytes": 200_000,
            },
        }

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, status: int, data: object) -> None:
        self._reply(status, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _problem(self, status: int, code: str, headers: dict[str, str]) -> None:
        document = {"title": code.capitalize(), "status": status, "code": code, "detail": f"{code}: do this"}
        kind = {"Content-Type": "application/problem+json"}
        self._reply(status, json.dumps(document | {"request_id": "r1"}).encode(), headers | kind)

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
