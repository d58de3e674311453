"""Who may ask the server of a review: the page that it opened, and nobody else."""

from __future__ import annotations

import hmac
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """Lets through what has the token and comes from the page itself; nothing else is answered.

    Parameters
    ----------
    app
        What answers; it sees addresses without the token.
    token
        First part of every address.
    port
        Of the server, which `Host` and `Origin` must name.

    Attributes
    ----------
    heard
        When the page asked last (`time.monotonic`); None before the first time.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        self.heard: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = Request(scope).headers
        given, _, path = str(scope["path"]).removeprefix("/").partition("/")
        origin = headers.get("origin")
        if headers.get("host") not in self._hosts or (
            origin is not None and origin.removeprefix("http://") not in self._hosts
        ):
            refused = _plain("This address is for the page of the review alone.", 403)
            await refused(scope, receive, send)
            return
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            await _plain("There is nothing here.", 404)(scope, receive, send)
            return
        self.heard = time.monotonic()

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
            await send(message)

        await self._app({**scope, "path": f"/{path}"}, receive, with_headers)


def _plain(words: str, status: int) -> Response:
    return Response(words, status_code=status, media_type="text/plain", headers=HEADERS)
