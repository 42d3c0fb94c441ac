"""What a run has seen so far, by phase and by source."""

from collections import Counter
from typing import Any

from lightning import Callback, LightningModule, Trainer

from sam_train.data.stream.pipeline import DrawnBatch


class DrawnImages(Callback):
    """Logs how many images of each phase and source this rank has trained on, since step 0."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: Any,
        batch: DrawnBatch,
        batch_idx: int,
    ) -> None:
        self.counts.update(f"images/phase_{phase}" for phase in batch["phases"])
        self.counts.update(f"images/source_{source}" for source in batch["sources"])
        for name, number in self.counts.items():
            module.log(name, float(number), rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.counts)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts = Counter(state_dict)
