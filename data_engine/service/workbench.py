"""What annotators can do with the images of a pool, whatever carries their requests."""

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from data_engine.people.actions import Action, check_action
from data_engine.people.drawing import Drawing, DrawnObject
from data_engine.people.store import NotYours, OutOfStep, Store
from data_engine.service.decoding import Decoder
from data_engine.service.embeddings import Embeddings, PreparedImage

DRAWINGS_IN_MEMORY = 64


@dataclass(frozen=True)
class OpenTask:
    """An image that an annotator works on, and what is drawn on it so far."""

    image: PreparedImage
    drawing: Drawing


@dataclass(frozen=True)
class Change:
    """What an action did: the objects that differ, all of them where the page may have missed
    some."""

    drawing: Drawing
    objects: list[DrawnObject]


class Workbench:
    """Hands out images under leases and stores every action before it is answered."""

    def __init__(
        self,
        store: Store,
        embeddings: Embeddings,
        *,
        model_sha256: str,
        lease_s: float = 600.0,
        ahead: int = 4,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.model_sha256 = model_sha256
        self.lease_s = lease_s
        self._embeddings = embeddings
        self._ahead = ahead
        self._clock = clock
        self._decoder = Decoder()
        self._drawings: OrderedDict[str, Drawing] = OrderedDict()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def claim(self, annotator: str) -> OpenTask | None:
        """The image that the annotator has begun, else the next; None if there is none left.

        One that cannot be read, or that shows the same as another, is left out with the reason.
        """
        now = self._clock()
        while key := self.store.claim(annotator, now=now, lease_s=self.lease_s):
            try:
                image = self._embeddings.get(key)
            except (ValueError, OSError) as error:
                self.store.leave_out(key, str(error))
                continue
            twin = self.store.identify(key, image.digest, image.size)
            if twin is not None:
                self.store.leave_out(key, f"it shows the same as {twin}")
                continue
            self.prepare_ahead()
            with self._locks[key]:
                self._drawings.pop(key, None)  # the store may know more
                return OpenTask(image, self._drawing(image))
        return None

    def prepare_ahead(self) -> None:
        """Has the next images encoded in the background."""
        self._embeddings.get_ahead(self.store.upcoming(self._ahead))

    def image(self, key: str, annotator: str) -> PreparedImage:
        """An image that the annotator holds."""
        stored = self.store.image(key)
        if stored is None or stored.state != "open" or stored.holder != annotator:
            raise NotYours(f"{key} is not yours any more: it was finished, or taken by another")
        return self._embeddings.get(key)

    def act(self, key: str, request: Action) -> Change:
        """Answers an action and stores it. One that is sent again changes nothing."""
        image = self.image(key, request.annotator)
        with self._locks[key]:
            drawing = self._drawing(image)
            if self._is_known(request, drawing):
                return Change(drawing, drawing.objects())
            check_action(request, image.size)
            drawing.check(request)
            action, logits = request, None
            if request.kind in ("point", "box"):
                earlier = drawing.object(request.object).prompted
                candidates, logits = self._decoder.answer(image, earlier, request)
                action = replace(request, candidates=candidates, model_sha256=self.model_sha256)
            self._store(key, action)
            if logits is not None:
                self._decoder.remember(key, action, logits)
            changed = drawing.add(action)
            return Change(drawing, [drawing.object(changed.object)])

    def renew(self, key: str, annotator: str) -> None:
        """Prolongs the lease of somebody who looks, but does nothing yet."""
        self.store.renew(key, annotator, now=self._clock(), lease_s=self.lease_s)

    def close(self) -> None:
        """Stops encoding and lets go of the store."""
        self._embeddings.close()
        self.store.close()

    def finish(self, key: str, annotator: str, *, seq: int, state: str) -> None:
        """Ends the work on an image: `saved` or `skipped`. `seq` actions must be stored."""
        if self.store.image(key) is None:
            raise NotYours(f"there is no image {key}")
        with self._locks[key]:
            if len(self.store.actions(key)) != seq:
                raise OutOfStep("another tab has changed this image: look at it again and save")
            self.store.finish(key, annotator, state)
            self._drawings.pop(key, None)

    def _is_known(self, request: Action, drawing: Drawing) -> bool:
        """Whether the request was stored before; OutOfStep if it does not come next either."""
        if request.seq < len(drawing.log) and drawing.log[request.seq].same_request(request):
            return True
        if request.seq != len(drawing.log):
            raise OutOfStep("another tab has changed this image: the page shows its state now")
        return False

    def _store(self, key: str, action: Action) -> None:
        try:
            self.store.append(key, action, now=self._clock(), lease_s=self.lease_s)
        except OutOfStep:
            self._drawings.pop(key, None)
            raise

    def _drawing(self, image: PreparedImage) -> Drawing:
        """The drawing from memory, else from the store. Under the lock of its image."""
        drawing = self._drawings.get(image.key)
        if drawing is None:
            drawing = Drawing(image.size, self.store.actions(image.key))
            self._drawings[image.key] = drawing
            while len(self._drawings) > DRAWINGS_IN_MEMORY:
                self._drawings.popitem(last=False)
        return drawing
