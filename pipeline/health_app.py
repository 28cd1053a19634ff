"""Health, readiness and metrics over HTTP: beside the kill switch, and alone where none is served."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pipeline import metrics
from pipeline.errors import AuditfuseError
from pipeline.killswitch import http
from pipeline.killswitch.server import DeniedError, refusal

Readiness = Callable[[], dict[str, bool]]
"""What must hold before this process is ready, by name."""

Conditions = Callable[[], dict[str, str]]
"""What does not work although the rest goes on, by name, with the reason."""

Allow = Callable[[Request, str], object]
"""Raises DeniedError where the caller of a request lacks a right."""

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def health_routes(readiness: Readiness, conditions: Conditions, allow: Allow) -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`. `readiness` decides what `/readyz` answers, `conditions` are told
    there without deciding it."""

    async def healthz(request: Request) -> Response:
        del request
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def readyz(request: Request) -> Response:
        del request
        parts = readiness()
        ready = all(parts.values())
        body = msgspec.json.encode({"ready": ready, "parts": parts, "conditions": conditions()})
        return Response(body, 200 if ready else 503, media_type="application/json")

    async def show_metrics(request: Request) -> Response:
        allow(request, "view")
        return Response(metrics.exposition(), headers={"content-type": OPENMETRICS})

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", show_metrics, methods=["GET"]),
    ]


def answering_errors(routes: Sequence[BaseRoute]) -> Starlette:
    """These routes, with errors answered as all of ours are."""

    async def answer_error(request: Request, error: Exception) -> Response:
        del request
        if isinstance(error, DeniedError):
            with contextlib.suppress(asyncio.CancelledError):  # a server that stops answers at once
                await asyncio.sleep(error.delay_s)
        return refusal(error)

    handlers = dict.fromkeys((AuditfuseError, http.BodyError, HTTPException), answer_error)
    return Starlette(routes=routes, exception_handlers=handlers)
