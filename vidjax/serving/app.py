"""The routes of a server: POST /predict takes a video, /health and /metrics tell how it does."""

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
_USUAL = 0.9  # of the mean time to an answer, kept at each new one


class Service:
    """Answers for videos: decodes in threads, computes their clips together.

    Attributes:
      stopping: whether no further requests are to be sent here.
      broken_off: requests that were not answered before the time to finish was over.
    """

    def __init__(self, model: ServedModel, limits: Limits, most: int):
        """Take batches of up to `most` clips, a power of two."""
        self.model, self.limits, self.stopping, self.broken_off = model, limits, False, 0
        self._in_flight, self._usual = 0, 0.0
        self.metrics = Metrics(lambda: self._in_flight)
        self.batcher = Batcher(model.compiled, most, self.metrics.batch.observe)
        self._predictor = model.predictor().computed_by(self._logits)
        # Threads wait for the batcher most of the time: as many as fill two batches, one computed and one gathering.
        self._threads = concurrent.futures.ThreadPoolExecutor(max(2 * most, os.cpu_count() or 1), "decoder")

    async def predict(self, request: Request) -> Response:
        """Answer one request, with 200 or with the status and the sentence of a refusal."""
        began = time.monotonic()
        try:
            answer = await self._in_turn(request)
        except Refused as refused:
            return self._refuse(refused)
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        except Exception:  # a mistake of ours, or a device that fails: others may be answered all the same
            _LOG.exception("a request failed")
            return self._refuse(Refused(500, "the server failed to answer; its log says why"))
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
            raise Refused(400, f"top, the number of classes to name, is a whole number from 1 to {_MOST_TOP}")
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
            raise Refused(500, "the model's outputs for this video are not finite numbers")
        return logits

    def stop(self) -> None:
        """From now on tell clients and what watches the server that it ends."""
        self.stopping = True

    def close(self) -> None:
        """Answer what is waiting, and end the threads; what was broken off is not begun any more."""
        self._threads.shutdown(cancel_futures=True)
        self.batcher.close()


def build_app(service: Service) -> FastAPI:
    """The routes of a service."""
    app = FastAPI(title="vidjax", docs_url=None, redoc_url=None)  # these pages would fetch scripts from elsewhere

    @app.exception_handler(HTTPException)
    async def elsewhere(request: Request, error: HTTPException) -> Response:
        """A path or a method that is not served."""
        sentence = (
            f"{request.method} {request.url.path} is not served; POST a video to /predict, GET /health or /metrics"
        )
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        """What is in the video that is the body, or the one file of a form; ?top=N classes are named (5)."""
        return await service.predict(request)

    @app.get("/health")
    async def health() -> Response:
        """200 while videos are answered, 503 once the server is stopping."""
        status = "stopping" if service.stopping else "ready"
        return JSONResponse({"status": status, "model": service.model.name}, 503 if service.stopping else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return app
