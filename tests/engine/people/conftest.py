"""The store's two homes: a SQLite file, and a PostgreSQL that is started for the tests."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_engine.people.tasks.store import Store
from data_engine.people.tasks.tables import META

PROGRAMS = Path("/usr/lib/postgresql/15/bin")  # of Debian's package


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a server without a network, as a user that is not root."""
    if not (PROGRAMS / "initdb").exists():
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # pytest's own folders are closed to others
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        user = {"user": "postgres", "group": "postgres", "cwd": folder}
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    initdb = [PROGRAMS / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run(initdb, check=True, **quiet, **user)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    start = [PROGRAMS / "pg_ctl", "-D", data, "-w", "-o", options]
    subprocess.run([*start, "start"], check=True, **quiet, **user)
    yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    subprocess.run([*start, "-m", "immediate", "stop"], check=True, **quiet, **user)
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "people.sqlite"
    return request.getfixturevalue("postgresql")


@pytest.fixture
def store(where: Path | str) -> Iterator[Store]:
    store = Store(where)
    yield store
    if isinstance(where, str):
        META.drop_all(store._engine)
    store.close()
