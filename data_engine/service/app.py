"""The annotation server: the page, the addresses it calls, and refusals in one sentence."""

import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from data_engine.accounting.ledger import Ledger
from data_engine.annotation.annotators import KnownMasks
from data_engine.people.tasks.queue import NotYours
from data_engine.people.tasks.store import OutOfStep
from data_engine.service.accounts import accounts
from data_engine.service.guard import LOOPBACK, Guard, refused
from data_engine.service.health import ModelFile
from data_engine.service.routes import router
from data_engine.service.tokens import Tokens, Unknown
from data_engine.service.workbench.workbench import Workbench
from sam_train.data.rle import Rle

STATIC = Path(__file__).parent / "static"
MAX_BODY_BYTES = 1_000_000  # a brush stroke of 40,000 coordinates has less
MAX_SENTENCE = 400  # characters: what was sent is not sent back at any length

logger = logging.getLogger(__name__)


def no_masks(key: str) -> list[Rle]:
    return []


def create_app(
    workbench: Workbench,
    tokens: Tokens,
    *,
    hosts: Collection[str] = LOOPBACK,
    max_body: int = MAX_BODY_BYTES,
    known_masks: KnownMasks = no_masks,
    run_dir: Path | None = None,
    model_file: ModelFile | None = None,
) -> FastAPI:
    """The server as an ASGI application; it answers only under the names in `hosts`.

    The accounting compares gold images with the `known_masks` of their keys, and shows the rounds
    of the loop in `run_dir`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        workbench.prepare_ahead()
        yield
        workbench.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.workbench, app.state.tokens = workbench, tokens
    app.state.model_file = model_file
    app.state.ledger, app.state.run_dir = Ledger(workbench.store, known_masks), run_dir
    app.include_router(router)
    app.include_router(accounts)
    app.add_api_route("/", page, methods=["GET"])
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(Unknown, say(401, "unknown"))
    app.add_exception_handler(NotYours, say(409, "not_yours"))
    app.add_exception_handler(OutOfStep, say(409, "out_of_step"))
    app.add_exception_handler(ValueError, say(422, "refused"))
    app.add_exception_handler(OSError, say(500, "failed"))
    app.exception_handler(HTTPException)(say_http)
    app.exception_handler(RequestValidationError)(say_invalid)
    app.exception_handler(Exception)(say_failed)
    app.add_middleware(Guard, hosts=hosts, max_body=max_body)
    return app


def page() -> FileResponse:
    return FileResponse(STATIC / "index.html")


def say(status: int, kind: str) -> Callable[[Request, Exception], JSONResponse]:
    """A handler that answers with the error's own sentence."""

    def handler(request: Request, error: Exception) -> JSONResponse:
        sentence = (str(error).splitlines() or [type(error).__name__])[0]
        return refused(status, sentence[:MAX_SENTENCE], kind)

    return handler


def say_http(request: Request, error: HTTPException) -> JSONResponse:
    return refused(error.status_code, str(error.detail))


def say_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """Names the first part of a request that is not as agreed, without repeating its value."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return refused(422, f"{place}: {first['msg']}")


def say_failed(request: Request, error: Exception) -> JSONResponse:
    logger.error("a request failed", exc_info=error)
    return refused(500, "the server failed on this request; its log says how", "failed")
