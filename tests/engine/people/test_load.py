"""Many people over HTTP while the server and their own programs are killed at random.

At full size, as the figures of this project were measured:

    LOAD_PEOPLE=20 LOAD_SECONDS=600 python -m pytest -m slow -s tests/engine/people/test_load.py
"""

import multiprocessing
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from multiprocessing.process import BaseProcess
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from data_engine.annotation.overlap import best_iou
from data_engine.people.drawing.actions import Action
from data_engine.people.simulated.connection import Connection
from data_engine.people.simulated.simulated_person import SimulatedPerson
from data_engine.people.simulated.work_log import WorkLog, read_log
from data_engine.pool import Pool
from data_engine.serve import run
from data_engine.service.tokens import Tokens
from sam_train.data.records import Annotation, Rle, Sample
from sam_train.data.scenes import SceneSet
from sam_train.data.store.manifest import Dataset
from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[3] / "configs"
PEOPLE = [f"person-{number}" for number in range(int(os.environ.get("LOAD_PEOPLE", 6)))]
SECONDS = float(os.environ.get("LOAD_SECONDS", 20))
IMAGES = int(50 + len(PEOPLE) * SECONDS / 4)  # more than they manage
SERVER_LIVES_S = max(6.0, min(SECONDS / 8, 30.0))  # on average
PERSON_LIVES_S = max(8.0, min(SECONDS / 6, 60.0))
LEASE_S = max(4.0, SECONDS / 40)  # so short that the images of the killed go to others
DUPLICATE_IOU = 0.9  # of configs/phase/assisted_manual.yaml: later duplicates are dropped

Entry = dict[str, Any]


class Office:
    """A server and the people at their desks, each a process that can be killed.

    They are forked from this one, which has torch: starting one anew takes no time.
    """

    def __init__(self, folder: Path, settings: list[str]) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        tokens = Tokens(folder / "work/tokens", PEOPLE, days=1.0, clock=time.time)
        address = f"http://127.0.0.1:{port}/#token="
        self.links = {name: address + tokens.token_of(name) for name in PEOPLE}
        self.settings = [
            *("pool=scenes", f"pool.count={IMAGES}", "pool.image_size=64", "threads=1"),
            *(f"checkpoint={folder}/model.safetensors", f"output_dir={folder}/work"),
            *(f"annotators=[{','.join(PEOPLE)}]", f"lease_s={LEASE_S}", f"port={port}"),
            *settings,
        ]
        self.pool = Pool([SceneSet("scenes", IMAGES, image_size=64)])
        self.kills: Counter[str] = Counter()
        self.people: dict[str, BaseProcess] = {}
        self.open()

    def open(self) -> None:
        """Starts the server and waits until it answers."""
        self.server = self.start(self.serve)
        Connection(self.links[PEOPLE[0]], patience_s=300.0).get("annotator")

    def start(self, work: Callable[..., None], *arguments: str) -> BaseProcess:
        process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
        process.start()
        return process

    def serve(self, *settings: str) -> None:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            run(compose("serve", [*self.settings, *settings]))

    def work(self, name: str) -> None:
        SimulatedPerson(
            Connection(self.links[name], patience_s=120.0),
            self.pool.known_masks,
            WorkLog(self.folder / f"{name}.jsonl"),
            max_clicks=2,
            seconds_per_mask_limit=1e9,
            pause_s=random.Random(time.time_ns()).uniform(0.01, 0.1),
        ).work()

    def kill(self, process: BaseProcess, what: str) -> None:
        self.kills[what] += process.is_alive()
        process.kill()
        process.join()

    def kill_at_random(self, seconds: float) -> None:
        """Keeps everybody at work until the time is up; nobody lives long."""
        chance, ends = random.Random(0), time.monotonic() + seconds
        server_dies = time.monotonic() + SERVER_LIVES_S
        while (now := time.monotonic()) < ends:
            if now > server_dies:
                self.kill(self.server, "server")
                self.open()
                server_dies = time.monotonic() + chance.expovariate(1 / SERVER_LIVES_S)
            assert self.server.is_alive()
            for name in PEOPLE:
                if name not in self.people or not self.people[name].is_alive():
                    self.people[name] = self.start(self.work, name)
                elif chance.random() < 0.1 / PERSON_LIVES_S:
                    self.kill(self.people[name], "person")
            time.sleep(0.1)

    def send_home(self) -> None:
        for person in self.people.values():
            self.kill(person, "person")

    def held_images(self) -> dict[str, dict[int, Rle]]:
        """What each person finds who comes back to the image that they had begun."""
        tasks = [Connection(link).post("task") for link in self.links.values()]
        return {
            task["key"]: {drawn["id"]: drawn["mask"] for drawn in task["objects"] if drawn["mask"]}
            for task in tasks
            if task.get("objects")
        }

    def close(self) -> None:
        self.send_home()
        self.kill(self.server, "server")

    def collected(self) -> dict[str, Sample]:
        """What was saved, as the shards of a version have it."""
        collecting = self.start(self.serve, "collect=true")
        collecting.join()
        assert collecting.exitcode == 0
        dataset = Dataset(self.folder / "work/dataset")
        samples = [s for entry in dataset.read().shards for s in dataset.samples(entry)]
        assert len({sample.key for sample in samples}) == len(samples)
        return {sample.key: sample for sample in samples}

    def logged(self) -> list[Entry]:
        """All that all people noted."""
        logs = [(name, self.folder / f"{name}.jsonl") for name in PEOPLE]
        return [{"who": name} | e for name, log in logs if log.exists() for e in read_log(log)]


class Account:
    """What people were told about one image: its masks as the last of them saw it."""

    def __init__(self, entries: list[Entry]) -> None:
        self.masks: dict[int, Rle] = {}
        self.sent: list[Entry] = []
        self.accepted: list[Entry] = []
        self.intruders: list[Entry] = []  # accepted though somebody else had been given the image
        self.last = entries[-1]["event"]
        sender, holder_when_sent = "", dict[str, str]()
        for entry in entries:
            if entry["event"] == "claimed":
                sender = entry["who"]
                self.masks = {int(id): mask for id, mask in entry["masks"].items()}
            elif entry["event"] == "sent":
                holder_when_sent[entry["who"]] = sender
                self.sent.append(entry)
            elif entry["event"] == "accepted":
                self.accepted.append(entry)
                if holder_when_sent[entry["who"]] != entry["who"]:
                    self.intruders.append(entry)
                self.masks.pop(entry["object"], None)
                self.masks |= {entry["object"]: entry["mask"]} if entry["mask"] else {}

    def missing(self, sample: Sample) -> list[Rle]:
        """Masks that the shard has neither bit by bit nor as something that came first."""
        found = [annotation["segmentation"] for annotation in sample.record["annotations"]]
        lost = [mask for mask in self.masks.values() if mask not in found]
        return [m for m in lost if best_iou([m], found)[0] < DUPLICATE_IOU]

    def assert_kept(self, sample: Sample) -> None:
        """Every mask and every prompt that was answered is in the shard, and none twice."""
        shown = sample.record["annotations"]
        assert not self.missing(sample)
        assert len(shown) <= len(self.masks)
        of_mask = {a["segmentation"]["counts"]: prompts_in(a) for a in shown}
        assert len(of_mask) == len(shown)
        for id, mask in self.masks.items():
            if mask["counts"] in of_mask:
                assert prompts_of(since_deleted(self.accepted, id), id) <= of_mask[mask["counts"]]
                assert of_mask[mask["counts"]] <= prompts_of(self.sent, id)


def since_deleted(entries: list[Entry], id: int) -> list[Entry]:
    """What was done since an object was last begun anew."""
    deleted = [n for n, e in enumerate(entries) if (e["object"], e["kind"]) == (id, "delete")]
    return entries[max(deleted, default=0) :]


def prompts_of(entries: list[Entry], id: int) -> Counter[str]:
    """The points and strokes on an object as a record keeps them; one sent again counts once."""
    actions = {
        Action(e["seq"], id, e["kind"], 0.0, "", tuple(e["coords"]), e["label"], e.get("radius"))
        for e in entries
        if e["object"] == id and e["kind"] in ("point", "brush")
    }
    return Counter(repr(action.prompt()) for action in actions)


def prompts_in(annotation: Annotation) -> Counter[str]:
    prompts = annotation["provenance"]["prompts"]
    return Counter(repr(prompt | {"time_s": 0.0}) for prompt in prompts)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_nothing_is_lost_and_nobody_disturbed_while_everything_is_killed(
    tmp_path: Path, sam: Sam, store: str, request: pytest.FixtureRequest
) -> None:
    save_model(
        sam, tmp_path / "model.safetensors", model="tiny", config={"image_size": 64, "dim": 32}
    )
    torch.set_num_threads(1)
    url = request.getfixturevalue(store) if store == "postgresql" else None
    office = Office(tmp_path, [f"store_url='{url}'"] if url else [])
    try:
        office.kill_at_random(SECONDS)
        office.send_home()
        held = office.held_images()
    finally:
        office.close()
    samples = office.collected()

    entries = sorted(office.logged(), key=lambda entry: (entry["key"], entry["time"]))
    accounts = {key: Account(list(each)) for key, each in groupby(entries, itemgetter("key"))}
    saved = {entry["key"] for entry in entries if entry["event"] == "saved"}
    unheard = samples.keys() - saved  # whoever saved them was killed before the answer came
    print(
        f"{dict(office.kills)} killed; {len(saved)} images with"
        f" {sum(len(s.record['annotations']) for s in samples.values())} masks saved,"
        f" {sum(len(a.accepted) for a in accounts.values())} actions accepted,"
        f" {sum(e['event'] == 'taken' for e in entries)} images passed on"
    )
    assert saved and saved <= samples.keys()
    assert len(unheard) <= office.kills["person"]
    assert [i for account in accounts.values() for i in account.intruders] == []
    for key, sample in samples.items():
        accounts[key].assert_kept(sample)
    for key, masks in held.items():
        assert masks == accounts[key].masks or accounts[key].last == "sent"
