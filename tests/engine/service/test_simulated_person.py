"""A simulated annotator who works through the interface that the page uses."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from data_engine.annotation.accounting import costs
from data_engine.people.follow_up import Reviewing
from data_engine.people.simulated.connection import Connection
from data_engine.people.simulated.simulated_person import SimulatedPerson
from data_engine.people.simulated.work_log import WorkLog, costs_by_log, read_log
from data_engine.people.tasks.queue import Terms
from data_engine.pool import Pool
from data_engine.service.patience import Patience
from data_engine.service.workbench.workbench import Rules
from sam_train.data.records import Sample

pytestmark = pytest.mark.slow  # a random model needs many strokes


@pytest.fixture
def rules(request: pytest.FixtureRequest, rules: Rules) -> Rules:
    """With a share of reviews, if a test asks for one."""
    share = getattr(request, "param", 0.0)
    return Rules(rules.stamp, Terms(lease_s=60.0), Reviewing(share))


@pytest.fixture
def links(build: Callable[[], Any]) -> Iterator[dict[str, str]]:
    """A server with a network, and what it would print."""
    app, tokens = build()
    sock = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{sock.getsockname()[1]}/#token="
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", http=Patience))
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    yield {name: address + tokens.token_of(name) for name in ("ana", "ben")}
    server.should_exit = True
    thread.join()


@pytest.fixture
def person(tmp_path: Path, pool: Pool, links: dict[str, str]) -> Callable[[str], SimulatedPerson]:
    def build_person(name: str) -> SimulatedPerson:
        return SimulatedPerson(
            Connection(links[name], patience_s=5.0),
            pool.known_masks,
            WorkLog(tmp_path / f"{name}.jsonl"),
            max_clicks=2,
            seconds_per_mask_limit=60.0,  # a random model takes long
        )

    return build_person


def test_a_whole_round_goes_over_http_and_costs_what_its_log_says(
    tmp_path: Path,
    person: Callable[[str], SimulatedPerson],
    pool: Pool,
    collected: Callable[[], list[Sample]],
) -> None:
    person("ana").work()

    log = read_log(tmp_path / "ana.jsonl")
    samples = collected()
    (cost,) = costs(sample.record for sample in samples).values()
    by_log = costs_by_log(log)
    assert by_log["images"] == len(samples) == len(pool)
    assert by_log["masks"] == cost.masks_by_people > 0
    assert (by_log["clicks"], by_log["strokes"]) == (cost.clicks, cost.strokes)
    assert by_log["seconds"] == pytest.approx(cost.seconds, abs=0.01)
    saved = {entry["key"]: entry["masks"] for entry in log if entry["event"] == "saved"}
    for sample in samples:
        shown = [annotation["segmentation"] for annotation in sample.record["annotations"]]
        assert shown == list(saved[sample.key].values())


def test_what_was_under_way_is_begun_anew(
    tmp_path: Path, person: Callable[[str], SimulatedPerson], pool: Pool
) -> None:
    ana = person("ana")
    key = ana.connection.post("task")["key"]
    stroke = {"kind": "brush", "coords": [5.0, 5.0], "label": 1, "radius": 0.5}
    ana.connection.post("tasks", key, "actions", seq=0, object=1, seconds=1.0, **stroke)

    ana.work()

    log = read_log(tmp_path / "ana.jsonl")
    assert [entry["kind"] for entry in log if entry.get("object") == 1][:1] == ["delete"]
    assert "1" not in next(entry for entry in log if entry["event"] == "saved")["masks"]


@pytest.mark.parametrize("rules", [1.0], indirect=True)
def test_a_second_person_accepts_what_shows_the_known_objects(
    person: Callable[[str], SimulatedPerson], collected: Callable[[], list[Sample]]
) -> None:
    person("ana").work()
    person("ben").work()

    reviews = [
        annotation["provenance"]["review"]["state"]
        for sample in collected()
        for annotation in sample.record["annotations"]
    ]
    assert reviews
    assert set(reviews) == {"accepted"}


@pytest.mark.parametrize("link", ["127.0.0.1:80", "http://127.0.0.1/", "file:///etc/#token=a"])
def test_a_link_that_is_none_is_refused(link: str) -> None:
    with pytest.raises(ValueError, match="is no link of the server's"):
        Connection(link)


def test_a_server_that_stays_away_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    link = f"http://127.0.0.1:{port}/#token=a"

    with pytest.raises(ConnectionError, match=f"http://127.0.0.1:{port} does not answer"):
        Connection(link, patience_s=0.0, pause_s=0.0).post("task")
