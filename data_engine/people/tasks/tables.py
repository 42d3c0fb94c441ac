"""The tables behind the store, in SQLite or PostgreSQL."""

from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

META = MetaData()

# Pictures: whether two keys show the same one.
IMAGES = Table(
    "images",
    META,
    Column("key", String, primary_key=True),
    Column("digest", String, unique=True),  # of the pixels
    Column("height", Integer),
    Column("width", Integer),
)

# What is to be done to an image, one after the other: annotate, review, annotate again, ...
TASKS = Table(
    "tasks",
    META,
    Column("key", String, primary_key=True),
    Column("image", String, nullable=False, index=True),
    Column("kind", String, nullable=False),  # annotate, review
    Column("phase", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("place", Integer, nullable=False, index=True),
    Column("state", String, nullable=False),  # open, saved, skipped, unusable
    Column("is_last", Boolean, nullable=False),  # of its image
    Column("is_gold", Boolean, nullable=False),  # measures its annotator, is not collected
    Column("only_for", String),  # an annotator
    Column("maker", String),  # who made the given masks
    Column("holder", String, index=True),
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("finished_at", Float),
    Column("given", JSON(none_as_null=True)),  # annotations; null: the phase was not asked yet
    Column("reason", String),  # why it is unusable
)

ACTIONS = Table(
    "actions",
    META,
    Column("task", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("action", JSON, nullable=False),
)


def open_tables(where: Path | str) -> Engine:
    """The database in a file, or at a URL; its tables are made where they are missing.

    Raises ValueError if it cannot be reached, or holds something else.
    """
    if isinstance(where, Path):
        where.parent.mkdir(parents=True, exist_ok=True)
        url, options = f"sqlite:///{where}", {"connect_args": {"timeout": 30}}
    else:
        url, options = where, {"pool_pre_ping": True}
    try:
        name = make_url(url).render_as_string(hide_password=True)
        engine = create_engine(url, **options)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _durable)
        names = inspect(engine).get_table_names()
        if "images" in names and "tasks" not in names:
            raise ValueError(
                f"{name} was written by an older version: collect with that, or start a new one"
            )
        META.create_all(engine)
    except (ArgumentError, ModuleNotFoundError) as error:
        raise ValueError(
            f"store_url is no database address ({error}): postgresql+psycopg://USER@HOST/NAME"
        ) from error
    except SQLAlchemyError as error:
        raise ValueError(f"{name} cannot be used: {str(error).splitlines()[0]}") from error
    return engine


def _durable(connection: Any, _: Any) -> None:
    """SQLite so that readers never wait, and what was committed survives a power cut."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
