"""Masks that an image has before a person sees it: the detector's of the semi-automatic phase."""

import threading
from collections.abc import Callable

from data_engine.annotation.task import Task
from data_engine.phases.semi_automatic import SemiAutomatic
from data_engine.service.workbench.embeddings import PreparedImage
from sam_train.data.images import read_image
from sam_train.data.records import Annotation

Prefill = Callable[[PreparedImage], list[Annotation]]


class DetectorPrefill:
    """Asks a phase whose detector is trained, one image at a time, on embeddings that are there."""

    def __init__(self, phase: SemiAutomatic) -> None:
        self._phase = phase
        self._lock = threading.Lock()

    def __call__(self, image: PreparedImage) -> list[Annotation]:
        task, source = Task(image.key, read_image(image.jpeg)), image.predictor
        with self._lock:
            predictor = self._phase.predictor
            predictor.set_embedding(source.features, source.input_size, source.original_size)
            predictor.task = task
            return self._phase.prefill(task)
