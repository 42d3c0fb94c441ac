"""A server on three drawn scenes and a tiny random model, without a network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from data_engine.annotation.provenance import Stamp
from data_engine.people.collect import collect
from data_engine.people.tasks.gold import gold_images
from data_engine.people.tasks.queue import Terms
from data_engine.people.tasks.store import Store
from data_engine.people.tasks.tasks import first_tasks
from data_engine.phases.assisted_manual import AssistedManual
from data_engine.phases.phase import BuildPhase
from data_engine.phases.semi_automatic import SemiAutomatic
from data_engine.pool import Pool, to_sample
from data_engine.service.app import create_app
from data_engine.service.tokens import Tokens
from data_engine.service.workbench.embeddings import Embeddings
from data_engine.service.workbench.prefilling import Prefill
from data_engine.service.workbench.workbench import Rules, Workbench
from sam_train.data.records import Sample
from sam_train.data.scenes import SceneSet
from sam_train.data.store.manifest import Dataset
from sam_train.modeling.sam import Sam

ADDRESS = "http://127.0.0.1"
Build = Callable[[], tuple[FastAPI, Tokens]]


class Clock:
    """A clock that jumps when it is told to."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Person:
    """An annotator's page, as far as the server sees it."""

    def __init__(self, client: TestClient, token: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}
        self.key = ""
        self.seq = 0

    def post(self, path: str, **content: Any) -> httpx.Response:
        return self.client.post(f"/api/{path}", json=content, headers=self.headers)

    def claim(self) -> dict[str, Any]:
        task = self.post("task").json()
        self.key, self.seq = task.get("key", ""), task.get("seq", 0)
        return task

    def try_to(self, kind: str, *coords: float, object: int = 1, **more: Any) -> httpx.Response:
        message = {"seq": self.seq, "object": object, "kind": kind, "seconds": 1.5, **more}
        return self.post(f"tasks/{self.key}/actions", coords=list(coords), **message)

    def do(self, kind: str, *coords: float, object: int = 1, **more: Any) -> dict[str, Any]:
        response = self.try_to(kind, *coords, object=object, **more)
        assert response.status_code == 200, response.text
        self.seq = response.json()["seq"]
        return response.json()

    def save(self) -> httpx.Response:
        return self.post(f"tasks/{self.key}/saved", seq=self.seq)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool() -> Pool:
    return Pool([SceneSet("scenes", 3, image_size=64)])


@pytest.fixture
def rules() -> Rules:
    return Rules(Stamp("assisted_manual", 3, "model", "config"), Terms(lease_s=60.0))


@pytest.fixture
def prefill() -> Prefill | None:
    return None


@pytest.fixture
def build(
    tmp_path: Path, pool: Pool, sam: Sam, clock: Clock, rules: Rules, prefill: Prefill | None
) -> Build:
    """Builds a server on what the last one left."""

    def built() -> tuple[FastAPI, Tokens]:
        store = Store(tmp_path / "people.sqlite")
        gold = gold_images(pool, rules.terms.gold_share) if rules.terms.gold_share else []
        names = ["ana", "ben"]
        phase = rules.stamp.phase
        store.add(first_tasks(pool.keys(), phase=phase, round=3, gold=gold, annotators=names))
        embeddings = Embeddings(
            sam,
            lambda key: to_sample(pool.image(key), image_id=1, with_masks=False).image_bytes,
            tmp_path / "embeddings",
        )
        tokens = Tokens(tmp_path / "tokens", names, days=1.0, clock=clock)
        bench = Workbench(
            store, embeddings, model_sha256="model", rules=rules, prefill=prefill, clock=clock
        )
        return create_app(bench, tokens, known_masks=pool.known_masks), tokens

    return built


@pytest.fixture
def start(build: Build) -> Iterator[Callable[[], Callable[[str], Person]]]:
    """Restarts the server; it answers with the page of a named annotator."""
    with ExitStack() as running:

        def started() -> Callable[[str], Person]:
            running.close()
            app, tokens = build()
            client = running.enter_context(TestClient(app, ADDRESS, raise_server_exceptions=False))
            return lambda name: Person(client, tokens.token_of(name))

        yield started


@pytest.fixture
def collected(tmp_path: Path, pool: Pool, sam: Sam, rules: Rules) -> Callable[[], list[Sample]]:
    """Collects what was saved and returns all samples of the latest version."""

    def run() -> list[Sample]:
        phases: dict[str, BuildPhase] = {
            "assisted_manual": AssistedManual,
            "semi_automatic": SemiAutomatic,
        }
        collect(
            Store(tmp_path / "people.sqlite"),
            pool,
            sam,
            tmp_path,
            build_phase=phases[rules.stamp.phase],
            stamp=rules.stamp,
            images_per_shard=2,
            on_bad=lambda *_: None,
        )
        dataset = Dataset(tmp_path / "dataset")
        if not dataset.versions():
            return []
        return [s for entry in dataset.read().shards for s in dataset.samples(entry)]

    return run


@pytest.fixture
def pages(start: Callable[[], Callable[[str], Person]]) -> Callable[[str], Person]:
    return start()


@pytest.fixture
def ana(pages: Callable[[str], Person]) -> Person:
    return pages("ana")


@pytest.fixture
def ben(pages: Callable[[str], Person]) -> Person:
    return pages("ben")
