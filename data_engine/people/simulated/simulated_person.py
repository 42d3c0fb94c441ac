"""A simulated annotator in front of a running server: every click goes over HTTP."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from data_engine.annotation.annotators import KnownMasks
from data_engine.annotation.overlap import best_iou
from data_engine.annotation.prominence import prominence
from data_engine.annotation.time_model import AnnotationTime, brush_strokes
from data_engine.people.simulated.brush_paths import brush_paths
from data_engine.people.simulated.connection import Connection, Refused
from data_engine.people.tasks.tasks import BETWEEN
from sam_train.data.images import read_image
from sam_train.data.records import Rle
from sam_train.data.rle import decode_rle, encode_mask
from sam_train.interaction.sampling import error_centre, mask_centre

TAKEN = {"not_yours", "out_of_step"}  # somebody else has the image, or changed it


@dataclass(frozen=True)
class SimulatedPerson:
    """Sees the masks that came with an image and draws them by clicks and brush, or reviews.

    Does what `SimulatedAnnotator` does with a model at hand, and in as many seconds. Of three
    candidates it takes the best one. What it did is told to `note`, before and after each request.
    """

    connection: Connection
    known_masks: KnownMasks
    note: Callable[[dict[str, Any]], None]
    time: AnnotationTime = field(default_factory=AnnotationTime)
    target_iou: float = 0.9
    max_clicks: int = 8
    seconds_per_mask_limit: float = 30.0
    covered_iou: float = 0.8
    removed_below_iou: float = 0.5
    pause_s: float = 0.0  # real time before each request

    def work(self) -> None:
        """Annotates one image after the other, until there is none left."""
        while "key" in (task := self.connection.post("task")):
            sitting = Sitting(self, task)
            self.note({"event": "claimed", "key": task["key"], "masks": dict(sitting.masks)})
            try:
                sitting.finish()
            except Refused as refusal:
                if refusal.kind not in TAKEN:
                    raise
                self.note({"event": "taken", "key": task["key"], "why": str(refusal)})


class Sitting:
    """The work of one person on one image. `masks` are the person's own, by object."""

    def __init__(self, person: SimulatedPerson, task: dict[str, Any]) -> None:
        self.person = person
        self.key: str = task["key"]
        self.seq: int = task["seq"]
        self.is_review: bool = task["kind"] == "review"
        shown = [drawn for drawn in task["objects"] if drawn["mask"]]
        self.masks: dict[int, Rle] = {o["id"]: o["mask"] for o in shown if not o["given"]}
        self.given: dict[int, Rle] = {o["id"]: o["mask"] for o in shown if o["given"]}
        self.last_id = max((drawn["id"] for drawn in task["objects"]), default=0)

    def finish(self) -> None:
        """Does all that there is to do on the image, and saves it."""
        known = self.person.known_masks(self.key.partition(BETWEEN)[0])
        if self.is_review:
            self._judge(known, self.person.target_iou, good="accept")
        else:
            self._delete_unfinished(known)
            self._judge(known, self.person.removed_below_iou, good=None)
            self._draw_missing(known)
        self.person.connection.post("tasks", self.key, "saved", seq=self.seq)
        self.person.note({"event": "saved", "key": self.key, "masks": dict(self.masks)})

    def _judge(self, known: list[Rle], least_iou: float, *, good: str | None) -> None:
        """Rejects the masks that were there before if they show no known object."""
        ids = list(self.given)
        overlaps = best_iou([self.given[id] for id in ids], known)
        for id, overlap in zip(ids, overlaps, strict=True):
            verdict = "reject" if overlap < least_iou else good
            if verdict is not None:
                self._act(verdict, id, seconds=self.person.time.seconds_per_removal)
            if verdict == "reject":
                del self.given[id]

    def _draw_missing(self, known: list[Rle]) -> None:
        """Draws what no mask covers yet, the most prominent first."""
        image = read_image(self.person.connection.get("tasks", self.key, "image"))
        overlaps = best_iou(known, [*self.given.values(), *self.masks.values()])
        limit = self.person.covered_iou
        todo = [decode_rle(k) for k, iou in zip(known, overlaps, strict=True) if iou < limit]
        for mask in sorted(todo, key=lambda mask: -prominence(image, mask)):
            if not self._draw(mask):
                return  # the mask took too long: on to the next image (SAM, section 4)

    def _delete_unfinished(self, known: list[Rle]) -> None:
        """Begins anew what was under way when the work on this image broke off."""
        ids = list(self.masks)
        overlaps = best_iou([self.masks[id] for id in ids], known)
        for id, iou in zip(ids, overlaps, strict=True):
            if iou < self.person.target_iou:
                self._act("delete", id, seconds=self.person.time.seconds_per_removal)

    def _draw(self, known: Bool[np.ndarray, "H W"]) -> bool:
        """Clicks, then brushes what clicks cannot fix; False if that takes too long."""
        self.last_id += 1
        spent = self._click(id := self.last_id, known)
        mask = self._mask(id, known)
        if iou(mask, known) < self.person.target_iou:
            times = self.person.time
            radius = times.brush_radius / times.magnification(known.shape)
            strokes = brush_strokes(mask, known, radius=radius)
            seconds = sum(times.stroke_seconds(stroke, known.shape) for stroke in strokes)
            if spent + seconds > self.person.seconds_per_mask_limit:
                left = max(self.person.seconds_per_mask_limit - spent, 0.0)
                self._act("delete", id, seconds=left)
                return False
            self._brush(id, known, mask, seconds)
        return True

    def _click(self, id: int, known: Bool[np.ndarray, "H W"]) -> float:
        """Clicks until the mask is good; returns the seconds that this took."""
        times, gt = self.person.time, torch.from_numpy(known)[None]
        seconds, spent = times.seconds_to_find + times.seconds_per_click, 0.0
        coords, label = mask_centre(gt)[0], 1
        for _ in range(self.person.max_clicks):
            drawn = self._act("point", id, *coords.tolist(), label=label, seconds=seconds)
            seconds, spent = times.seconds_per_click, spent + seconds
            self._choose(id, drawn, known)
            mask = self._mask(id, known)
            if iou(mask, known) >= self.person.target_iou:
                break
            points, labels = error_centre(torch.from_numpy(mask)[None], gt)
            coords, label = points[0], int(labels[0])
        return spent

    def _choose(self, id: int, drawn: dict[str, Any], known: Bool[np.ndarray, "H W"]) -> None:
        """Takes the best of several candidates, if it is not the one shown."""
        overlaps = best_iou([c["segmentation"] for c in drawn["candidates"]], [encode_mask(known)])
        best = int(np.argmax(overlaps))
        if overlaps[best] > overlaps[drawn["chosen"]]:
            self._act("choose", id, label=best, seconds=0.0)

    def _brush(
        self,
        id: int,
        known: Bool[np.ndarray, "H W"],
        mask: Bool[np.ndarray, "H W"],
        seconds: float,
    ) -> None:
        """Paints what is missing and erases what is too much, or begins with nothing if that
        takes fewer strokes; one pixel wide."""
        paths = [(path, 1) for path in brush_paths(known & ~mask, known)]
        paths += [(path, 0) for path in brush_paths(mask & ~known, ~known)]
        anew = [(path, 1) for path in brush_paths(known, known)]
        if id in self.masks and len(anew) < len(paths):
            self._act("delete", id, seconds=0.0)
            paths = anew
        for path, label in paths:
            each = seconds / len(paths)
            self._act("brush", id, *path, label=label, radius=0.5, seconds=each)

    def _mask(self, id: int, like: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
        return decode_rle(self.masks[id]) if id in self.masks else np.zeros_like(like)

    def _act(
        self,
        kind: str,
        id: int,
        *coords: float,
        seconds: float,
        **more: int | float,
    ) -> dict[str, Any]:
        """Sends an action, with notes of it before and after, and returns what it changed."""
        time.sleep(self.person.pause_s)
        action = {"seq": self.seq, "object": id, "kind": kind, "coords": coords} | more
        content = action | {"seconds": round(seconds, 3)}
        self.person.note({"event": "sent", "key": self.key, **content})
        answer = self.person.connection.post("tasks", self.key, "actions", **content)
        drawn = next(item for item in answer["objects"] if item["id"] == id)
        self.masks.pop(id, None)
        if drawn["mask"] and not drawn["given"]:
            self.masks[id] = drawn["mask"]
        accepted = {"event": "accepted", "key": self.key, **content, "mask": drawn["mask"]}
        self.person.note(accepted)
        self.seq = answer["seq"]
        return drawn


def iou(mask: Bool[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]) -> float:
    return float((mask & known).sum() / max((mask | known).sum(), 1))
