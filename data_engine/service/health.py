"""What is wrong with a running server, in sentences."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from data_engine.people.tasks.store import Store
from sam_train.evaluation.page import render_page

LOW_DISK_BYTES = 200_000_000


@dataclass(frozen=True)
class ModelFile:
    """The checkpoint as it was when the server read it. The server goes on with what it read."""

    path: Path
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "ModelFile":
        facts = path.stat()
        return cls(path, facts.st_size, facts.st_mtime_ns)

    def problem(self) -> str | None:
        """What became of the file, in a sentence; None if nothing did."""
        try:
            if ModelFile.of(self.path) == self:
                return None
            change = "has changed"
        except OSError:
            change = "is gone"
        return (
            f"{self.path} {change} since it was read: masks are those of the old model until a "
            "restart"
        )


def health_page(content: dict[str, Any]) -> str:
    """What is wrong, to be read in a browser."""
    return render_page("health.html.j2", folder=Path(__file__).parent, **content)


def problems(store: Store, folder: Path, model_file: ModelFile | None = None) -> list[str]:
    """Everything that somebody should look after; empty if all is well."""
    found = []
    if model_file is not None and (problem := model_file.problem()):
        found.append(problem)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        found.append(f"only {free / 1e6:.0f} MB are free under {folder}: make room")
    try:
        store.check_writable()
        unusable = store.unusable()
    except SQLAlchemyError as error:
        return [*found, f"{store.name} cannot be written: {str(error).splitlines()[0]}"]
    found += [f"{task.image} is left out: {task.reason}" for task in unusable]
    return found
