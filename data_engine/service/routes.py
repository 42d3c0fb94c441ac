"""The addresses of the annotation server."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, Response

from data_engine.service.health import health_page, problems
from data_engine.service.messages import (
    ActionMessage,
    CropMessage,
    FinishMessage,
    PreviewMessage,
    change_view,
    preview_view,
    task_view,
)
from data_engine.service.tokens import Unknown
from data_engine.service.workbench.workbench import Workbench

router = APIRouter()


# Neither waits for anything, so they run where the request is read, not in a thread of their own.
async def workbench_of(request: Request) -> Workbench:
    return request.app.state.workbench


async def annotator_of(request: Request, authorization: Annotated[str, Header()] = "") -> str:
    """The name behind `Authorization: Bearer TOKEN`."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unknown("open the link that the server printed for you: this one names nobody")
    return request.app.state.tokens.annotator_of(token)


Bench = Annotated[Workbench, Depends(workbench_of)]
Annotator = Annotated[str, Depends(annotator_of)]


@router.get("/health")
async def health(
    request: Request, bench: Bench, authorization: Annotated[str, Header()] = "", token: str = ""
) -> Response:
    """Whether anything is wrong: status 503 if so. A token, in the header or for a page in the
    address, is told what: sentences name images, files and people."""
    wrong = await run_in_threadpool(
        problems, bench.store, bench.folder, request.app.state.model_file
    )
    content: dict[str, Any] = {"status": "ill" if wrong else "ok"}
    status = 503 if wrong else 200
    if not (authorization or token):
        return JSONResponse(content, status)
    await annotator_of(request, authorization or f"Bearer {token}")
    content |= {"problems": wrong, "images": await run_in_threadpool(bench.store.counts)}
    return HTMLResponse(health_page(content), status) if token else JSONResponse(content, status)


@router.get("/api/annotator")
def annotator(name: Annotator) -> dict[str, str]:
    return {"name": name}


@router.post("/api/task")
def claim(bench: Bench, name: Annotator) -> Response:
    """The task to work on, or none with what is done."""
    task, counts = bench.claim(name), bench.store.counts()
    view = {"progress": counts} if task is None else task_view(task, bench.rules, counts)
    return JSONResponse(view)


@router.get("/api/tasks/{key}/image")
def image(key: str, bench: Bench, name: Annotator) -> Response:
    return Response(bench.image(key, name).jpeg, media_type="image/jpeg")


@router.post("/api/tasks/{key}/actions")
def act(key: str, message: ActionMessage, bench: Bench, name: Annotator) -> Response:
    return JSONResponse(change_view(bench.act(key, message.action(name)), bench.rules))


@router.post("/api/tasks/{key}/preview")
def preview(key: str, message: PreviewMessage, bench: Bench, name: Annotator) -> Response:
    return JSONResponse(preview_view(bench.preview(key, message.action(name))))


@router.post("/api/tasks/{key}/crop")
def crop(key: str, message: CropMessage, bench: Bench, name: Annotator) -> dict[str, Any]:
    return {"crop": bench.crop(key, name, tuple(message.crop))}


@router.post("/api/tasks/{key}/lease")
def renew(key: str, bench: Bench, name: Annotator) -> dict[str, Any]:
    bench.renew(key, name)
    return {}


@router.post("/api/tasks/{key}/{state}")
def finish(
    key: str,
    state: Literal["saved", "skipped"],
    message: FinishMessage,
    bench: Bench,
    name: Annotator,
) -> dict[str, Any]:
    bench.finish(key, name, seq=message.seq, state=state)
    return {}
