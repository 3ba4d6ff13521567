"""Requests and replies: every call goes through here, and every failure leaves as our own error."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx

from armt_client.errors import BadAddress, UnexpectedReply, problem, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT_SECONDS = 5.0


class Http:
    """A connection pool to one server."""

    def __init__(self, server: str, *, api_key: str | None, timeout_seconds: float) -> None:
        self.server = _address(server)
        with translated(self.server):
            self._client = httpx.Client(
                base_url=self.server,
                headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
                timeout=httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)),
                # A proxy of the environment is for the world, not for a server on this machine.
                mounts={"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None},
            )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A whole reply, which is a success.

        Args:
            method: of HTTP.
            path: from the server's root.
            request: what `httpx.Client.request` takes besides.

        Raises:
            ClientError: as drawn in `armt_client.errors`.
        """
        with translated(self.server):
            response = self._client.request(method, path, **request)
        _check(response)
        return response

    def json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The JSON object of a successful reply; otherwise as `call`.

        Raises:
            ClientError: as drawn in `armt_client.errors`.
        """
        response = self.call(method, path, **request)
        reply = _parsed(response)
        if not isinstance(reply, dict):
            raise UnexpectedReply(f"{method} {response.url} gave no JSON object: is this an ARMT server?")
        return reply

    @contextlib.contextmanager
    def stream(self, method: str, path: str, body: object) -> Iterator[Iterator[bytes]]:
        """The bytes of a successful reply, as they come.

        Raises:
            ClientError: as drawn in `armt_client.errors`, also while the bytes are read.
        """
        with translated(self.server), self._client.stream(method, path, json=body) as response:
            if response.is_error:
                response.read()
            _check(response)
            yield response.iter_bytes()


def upload_offset(response: httpx.Response) -> int:
    """The `Upload-Offset` of a reply, in bytes.

    Raises:
        UnexpectedReply: it has none.
    """
    told = response.headers.get("Upload-Offset", "")
    if not (told.isascii() and told.isdigit()):
        raise UnexpectedReply(f"{response.url} gave no Upload-Offset: is this an ARMT server?")
    return int(told)


def _address(server: str) -> str:
    try:
        url = httpx.URL(server)
    except (httpx.InvalidURL, ValueError) as error:
        raise BadAddress(f"{server!r}: {error}; give it as http://HOST:PORT") from error
    escaped = (
        "%" in url.host and ":" not in url.host
    )  # a letter that no host name has; or the zone of an IPv6
    if url.scheme not in ("http", "https") or not url.host or escaped:
        raise BadAddress(f"{server!r} is no address of a server: give it as http://HOST:PORT")
    return server.rstrip("/")


def _check(response: httpx.Response) -> None:
    if not response.is_success:
        raise problem(response.status_code, _parsed(response), response.headers, response.text)


def _parsed(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:  # of JSON or of its encoding
        return None
