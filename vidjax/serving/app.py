"""The routes of the server: POST /predict answers for a video; /health and /metrics report the server's state."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import math
import os
import time
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from jaxtyping import Float, UInt8
from starlette.exceptions import HTTPException

from vidjax.data.video.container import describe
from vidjax.data.video.readers import open_video
from vidjax.data.video.strangers import refusal
from vidjax.errors import VideoError
from vidjax.serving.batcher import Batcher
from vidjax.serving.limits import Limits
from vidjax.serving.metrics import Metrics
from vidjax.serving.model import ServedModel
from vidjax.serving.refusal import Refusal
from vidjax.serving.uploads import Refused, receive_video
from vidjax.weights.predictors import answer_opened

_TOP, _MOST_TOP = 5, 10**6
_LOG = logging.getLogger("uvicorn.error")
_USUAL = 0.9  # decay of the moving average of response times


class Service:
    """The service behind the routes: it decodes videos in threads and batches their clips.

    Attributes:
      stopping: whether the server is shutting down, so that clients should send no further requests.
      broken_off: number of requests cancelled because they took longer than the drain period.
    """

    def __init__(self, model: ServedModel, limits: Limits, most: int):
        """Start the threads; a batch has at most `most` clips, a power of two."""
        self.model, self.limits, self.stopping, self.broken_off = model, limits, False, 0
        self._in_flight, self._usual = 0, 0.0
        self.metrics = Metrics(lambda: self._in_flight)
        self.batcher = Batcher(model.compiled, most, self.metrics.batch.observe)
        self._predictor = model.predictor().computed_by(self._logits)
        # Threads mostly wait for the batcher, so there are enough to fill two batches: one computing, one gathering.
        self._threads = concurrent.futures.ThreadPoolExecutor(max(2 * most, os.cpu_count() or 1), "decoder")

    async def predict(self, request: Request) -> Response:
        """Answer one request: 200, or an error status with a message."""
        began = time.monotonic()
        try:
            answer = await self._in_turn(request)
        except Refused as refused:
            return self._refuse(refused)
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        except Exception:  # a bug or a failing device; other requests may still succeed
            _LOG.exception("a request failed")
            return self._refuse(Refused(500, "the server failed to answer; see its log"))
        seconds = time.monotonic() - began
        self._usual = _USUAL * self._usual + (1 - _USUAL) * seconds if self._usual else seconds
        self.metrics.requests.labels(200).inc()
        self.metrics.seconds.observe(seconds)
        return JSONResponse(answer, headers={"Connection": "close"} if self.stopping else None)

    def _refuse(self, refused: Refused) -> Refusal:
        self.metrics.requests.labels(refused.status).inc()
        more = {"Retry-After": str(max(1, math.ceil(self._usual)))} if refused.status == 503 else {}
        return Refusal(refused.status, refused.sentence, more)

    async def _in_turn(self, request: Request) -> dict[str, Any]:
        if self._in_flight >= self.limits.queue:
            raise Refused(503, f"{self.limits.queue} requests are being answered; try again later")
        self._in_flight += 1
        try:
            return await self._answer(request)
        finally:
            self._in_flight -= 1

    async def _answer(self, request: Request) -> dict[str, Any]:
        top = request.query_params.get("top", str(_TOP))
        if not top.isdecimal() or len(top) > len(str(_MOST_TOP)) or not 1 <= int(top) <= _MOST_TOP:
            raise Refused(400, f"top, the number of classes to return, must be an integer from 1 to {_MOST_TOP}")
        name, video = await receive_video(request, self.limits)
        self.metrics.received.inc(len(video))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._of_video, name, video, int(top))

    def _of_video(self, name: str, video: bytes, top: int) -> dict[str, Any]:
        notes: list[str] = []
        try:
            with open_video(video) as opened:
                self.limits.check(opened.info)
                found = answer_opened(self._predictor, opened, name, top, notes.append)
        except VideoError as error:
            raise Refused(422, f"{error.reason}: {refusal(error, name, describe(video))}") from error
        return {"video": name, **found} | ({"notes": notes} if notes else {})

    def _logits(self, views: UInt8[np.ndarray, "v t h w c"]) -> Float[np.ndarray, "v classes"]:
        logits = self.batcher(views)
        if not np.isfinite(logits).all():
            raise Refused(500, "the model's outputs for this video are not finite")
        return logits

    def stop(self) -> None:
        """Announce the shutdown to clients and to health checks."""
        self.stopping = True

    def close(self) -> None:
        """Finish the videos that the threads have begun, drop those still queued, and end the threads."""
        self._threads.shutdown(cancel_futures=True)
        self.batcher.close()


def build_app(service: Service) -> FastAPI:
    """Build the routes of a service."""
    app = FastAPI(title="vidjax", docs_url=None, redoc_url=None)  # these pages load third-party scripts

    @app.exception_handler(HTTPException)
    async def elsewhere(request: Request, error: HTTPException) -> Response:
        """Answer requests to unknown paths or with unsupported methods."""
        sentence = (
            f"{request.method} {request.url.path} is not served; POST a video to /predict, GET /health or /metrics"
        )
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        """Classify the video in the body, or in the single file of a form; ?top=N returns N classes (default 5)."""
        return await service.predict(request)

    @app.get("/health")
    async def health() -> Response:
        """Return 200 while the server accepts videos, 503 once it is stopping."""
        status = "stopping" if service.stopping else "ready"
        return JSONResponse({"status": status, "model": service.model.name}, 503 if service.stopping else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return metrics in Prometheus' text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return app
