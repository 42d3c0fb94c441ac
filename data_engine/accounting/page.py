"""The accounting page."""

from pathlib import Path

from data_engine.accounting.ledger import Ledger
from data_engine.accounting.summary import summary
from sam_train.evaluation.page import render_page


def accounting_page(ledger: Ledger, *, run_dir: Path | None = None, query: str = "") -> str:
    """The page; `query` is what its own links need to be let in."""
    return render_page(
        "accounting.html.j2",
        folder=Path(__file__).parent,
        tables=summary(ledger, run_dir),
        shown=shown,
        query=query,
    )


def shown(value: object) -> str:
    """A cell: numbers with as many digits as anybody reads."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)
