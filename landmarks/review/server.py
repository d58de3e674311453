"""The local server of a review: one page, this cohort's photographs, and nothing else.

It listens on 127.0.0.1 at a port that the system chooses. Every address begins with a token that
only the opened page knows; `Host` and `Origin` must be this server's own, so that no other web page
can speak to it. Photographs are asked for by number, never by name.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import PhotoError, UserError
from landmarks.review.face import Face
from landmarks.review.marks import MIRROR, N_MARKS
from landmarks.review.session import ChangeRefusedError, Session

PAGE_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "review.js": ("review.js", "text/javascript; charset=utf-8"),
    "face.js": ("face.js", "text/javascript; charset=utf-8"),
    "review.css": ("review.css", "text/css; charset=utf-8"),
}
LONGEST_BODY = 100_000  # bytes; a change of all points has 5,000
Measure = Callable[[NDArray[np.float64]], dict[str, Any]]
"""Marks, `(72, 2)` px, to what stands beside the picture, as JSON can carry it."""


def build_server(session: Session, *, measure: Measure, token: str, port: int) -> Gate:
    """Build the application: the page, its pictures, and its changes.

    `measure` is called while a point is dragged; see `Gate` for the others.
    """

    def start(request: Request) -> Response:
        name, kind = PAGE_FILES[request.path_params.get("name", "")]
        content = (Path(__file__).with_name("page") / name).read_bytes()
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    def cohort(request: Request) -> Response:
        by = request.query_params.get("by", "worst")
        return JSONResponse(
            {
                "order": session.order("patient" if by == "patient" else "worst"),
                "faces": [_head_of(face) for face in session.faces],
                "mirror": MIRROR,
                "irises": any(face.has_irises for face in session.faces),
            }
        )

    def face(request: Request) -> Response:
        shown = session.faces[_number_in(session, request)]
        measured = measure(shown.machine)
        now = measure(shown.marks) if shown.is_corrected else measured
        return JSONResponse({**_whole(shown), "measured": now, "before": measured})

    def picture(request: Request) -> Response:
        number = _number_in(session, request)
        made = session.picture(number, thumb=request.path_params["kind"] == "thumb")
        return Response(
            made.jpeg,
            media_type="image/jpeg",
            headers={"X-Place": json.dumps(made.place), "Cache-Control": "private, max-age=3600"},
        )

    async def change(request: Request) -> Response:
        body = await _body_of(request)
        number, page = _number_in(session, request), str(body.get("page", ""))
        return await run_in_threadpool(_change, session, number, body, page, measure)

    async def measured(request: Request) -> Response:
        body = await _body_of(request)
        marks = np.array([_place(one) for one in body["marks"]]).reshape(N_MARKS, 2)
        return JSONResponse(await run_in_threadpool(measure, marks))

    async def here(request: Request) -> Response:
        body = await _body_of(request)
        page = str(body.get("page", ""))
        if body.get("leaving"):
            session.release(page)
            return JSONResponse({"editing": False})
        return JSONResponse({"editing": session.hold(page)})

    routes = [
        Route("/", start),
        Route("/cohort", cohort),
        Route("/face/{number:int}", face),
        Route("/{kind:str}/{number:int}.jpg", picture),
        Route("/change/{number:int}", change, methods=["POST"]),
        Route("/measure", measured, methods=["POST"]),
        Route("/here", here, methods=["POST"]),
        Route("/{name:str}", start),
    ]

    async def refused(request: Request, error: Exception) -> Response:
        status = {ChangeRefusedError: 409, PhotoError: 422, UserError: 500}.get(type(error), 400)
        words = str(error) if status != 400 else "The page sent something that is no change."
        return JSONResponse({"error": words}, status_code=status)

    kinds: tuple[type[Exception], ...] = (
        ChangeRefusedError, PhotoError, UserError, KeyError, TypeError, ValueError,
    )  # fmt: skip
    app = Starlette(routes=routes, exception_handlers=dict.fromkeys(kinds, refused))
    return Gate(app, token=token, port=port)


def serve(
    session: Session,
    *,
    measure: Measure,
    browser: bool = True,
    idle_s: float = 300.0,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve a review until the page has been closed for `idle_s` seconds, or Ctrl-C.

    Before the first page it waits four times as long. The address is announced, and opened in the
    browser where that is wanted.
    """
    token = secrets.token_urlsafe(24)
    # Named TCP, so that asyncio sends each answer at once and none waits 40 ms for the one before.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind((HOST, 0))
        listening.listen()  # from now on nobody is refused
        port = int(listening.getsockname()[1])
        app = build_server(session, measure=measure, token=token, port=port)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none")
        )
        address = f"http://{HOST}:{port}/{token}/"
        announce(f"Open {address}" if not browser else f"The review is at {address}")
        watch = threading.Thread(
            target=_end_when_idle, args=(server, app, idle_s), daemon=True, name="idle"
        )
        watch.start()
        if browser:
            threading.Timer(0.5, webbrowser.open, args=(address,)).start()
        server.run(sockets=[listening])


def _change(
    session: Session, number: int, body: dict[str, Any], page: str, measure: Measure
) -> Response:
    """Make one change and answer with the photograph as it is then."""
    action = body["action"]
    if action == "move":
        targets = {int(mark): _place(place) for mark, place in body["marks"].items()}
        if not set(targets) <= set(range(N_MARKS)):
            raise ValueError("there is no such point")
        face = session.move(number, targets, page=page)
    elif action in ("undo", "redo"):
        face = session.step(number, action, page=page)
    elif action in ("checked", "unmeasurable", "measurable"):
        face = session.judge(number, action, reason=str(body.get("reason", ""))[:200], page=page)
    elif action == "box":
        face = session.predict(number, [float(v) for v in body["box"]], page=page)
    else:
        raise ValueError("there is no such change")
    return JSONResponse({**_whole(face), "measured": measure(face.marks)})


def _head_of(face: Face) -> dict[str, Any]:
    """What the filmstrip shows of a photograph."""
    return {
        "name": face.image_id,
        "patient": face.patient,
        "status": face.status,
        "corrected": face.is_corrected,
        "judged": face.judged,
    }


def _whole(face: Face) -> dict[str, Any]:
    spread = None if face.spread is None else np.hypot(*face.spread.T)
    return {
        **_head_of(face),
        "reason": face.reason,
        "marks": _plain_numbers(face.marks),
        "machine": _plain_numbers(face.machine),
        "spread": None if spread is None or np.isnan(spread).any() else spread.tolist(),
        "undo": len(face.undo),
        "redo": len(face.redo),
    }


def _plain_numbers(marks: NDArray[np.float64]) -> list[list[float] | None]:
    return [place if np.isfinite(place).all() else None for place in marks.tolist()]


def _place(given: list[float] | None) -> tuple[float, float]:
    """Return x, y as the page sends them; nothing is NaN."""
    if given is None:
        return np.nan, np.nan
    x, y = given
    return float(x), float(y)


def _number_in(session: Session, request: Request) -> int:
    number = int(request.path_params["number"])
    if not 0 <= number < len(session.faces):
        raise KeyError(number)
    return number


async def _body_of(request: Request) -> dict[str, Any]:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > LONGEST_BODY:
            raise ValueError("too long")
    body = json.loads(content)
    if not isinstance(body, dict):
        raise TypeError("no object")
    return body


def _end_when_idle(server: uvicorn.Server, gate: Gate, idle_s: float) -> None:
    began = time.monotonic()
    while not server.should_exit:
        since, limit = (began, 4 * idle_s) if gate.heard is None else (gate.heard, idle_s)
        if time.monotonic() - since > limit:
            server.should_exit = True
        time.sleep(min(0.5, idle_s / 4))


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

    `app` sees addresses without the `token`, their first part. `Host` and `Origin` must name the
    server's `port`. `heard` is when the page asked last (`time.monotonic`); None before.
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
