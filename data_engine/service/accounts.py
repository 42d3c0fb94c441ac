"""The accounting page and its file: for whoever has a token, in the address or the header."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import HTMLResponse, Response

from data_engine.accounting.ledger import Ledger, parquet_bytes
from data_engine.accounting.page import accounting_page
from data_engine.service.routes import annotator_of

accounts = APIRouter()


async def ledger_of(
    request: Request, token: str = "", authorization: Annotated[str, Header()] = ""
) -> Ledger:
    """The ledger, if somebody may see it: a page without scripts sends no header."""
    await annotator_of(request, authorization or f"Bearer {token}")
    return request.app.state.ledger


KnownLedger = Annotated[Ledger, Depends(ledger_of)]


@accounts.get("/accounting")
def accounting(request: Request, ledger: KnownLedger, token: str = "") -> HTMLResponse:
    query = f"?{urlencode({'token': token})}" if token else ""
    return HTMLResponse(accounting_page(ledger, run_dir=request.app.state.run_dir, query=query))


@accounts.get("/accounting.parquet")
def entries(ledger: KnownLedger) -> Response:
    headers = {"Content-Disposition": "attachment; filename=accounting.parquet"}
    content = parquet_bytes(ledger.entries())
    return Response(content, media_type="application/vnd.apache.parquet", headers=headers)
