"""The one-class box detector of the semi-automatic phase: a Faster R-CNN, as in the paper."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign, box_convert

from sam_train.data.images import read_image
from sam_train.data.records import Sample
from sam_train.data.store.durable import durable_file
from sam_train.inference.predictor import SamPredictor

logger = logging.getLogger(__name__)

ROI_SIZE = 5  # cells a side that a proposal is pooled to


class EmbeddingPyramid(nn.Module):
    """SAM's image embedding and its halvings, as ViTDet's simple pyramid on a single map."""

    def __init__(self, in_chans: int, out_channels: int, *, levels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    out_channels if level else in_chans, out_channels, 3, min(level, 1) + 1, 1
                ),
                nn.GroupNorm(8, out_channels),
                nn.ReLU(),
            )
            for level in range(levels)
        )

    def forward(self, embeddings: Float[Tensor, "B C h w"]) -> dict[str, Tensor]:
        features = {}
        for level, step in enumerate(self.steps):
            embeddings = features[str(level)] = step(embeddings)
        return features


class ObjectDetector(nn.Module):
    """torchvision's Faster R-CNN with one class, on the embeddings of SAM's image encoder.

    The encoder, trained on the masks so far, stays as it is: the detector learns in a minute
    what a trunk of its own does not, and an image is encoded once for detector and prompts.
    Boxes are XYXY of the input frame.
    """

    def __init__(
        self, in_chans: int, image_size: int, *, dim: int = 128, hidden: int = 256, levels: int = 3
    ) -> None:
        super().__init__()
        sides = tuple((image_size / 10 * 2**level,) for level in range(levels))
        self.image_size = image_size
        self.network = FasterRCNN(
            EmbeddingPyramid(in_chans, dim, levels=levels),
            rpn_anchor_generator=AnchorGenerator(sides, ((0.5, 1.0, 2.0),) * levels),
            rpn_post_nms_top_n_train=300,
            rpn_post_nms_top_n_test=300,
            box_roi_pool=MultiScaleRoIAlign([str(i) for i in range(levels)], ROI_SIZE, 2),
            box_head=TwoMLPHead(dim * ROI_SIZE**2, hidden),
            box_predictor=FastRCNNPredictor(hidden, num_classes=2),
            box_batch_size_per_image=64,
            box_score_thresh=0.05,
        )

    def loss(
        self, embeddings: Float[Tensor, "B C h w"], sizes: Int[Tensor, "B 2"], boxes: list[Tensor]
    ) -> Float[Tensor, ""]:
        """The sum of Faster R-CNN's four losses for the known boxes of each image."""
        labels = [torch.ones(len(b), dtype=torch.int64, device=b.device) for b in boxes]
        targets = [{"boxes": b, "labels": n} for b, n in zip(boxes, labels, strict=True)]
        _, losses = self._run(embeddings, sizes, targets)
        return torch.stack(list(losses.values())).sum()

    @torch.no_grad()
    def detect(
        self, embeddings: Float[Tensor, "1 C h w"], input_size: tuple[int, int]
    ) -> tuple[Float[Tensor, "N 4"], Float[Tensor, " N"]]:
        """Boxes in one image, the surest first, and their scores."""
        (found,), _ = self._run(embeddings, torch.tensor([input_size]), None)
        return found["boxes"], found["scores"]

    def _run(
        self, embeddings: Tensor, sizes: Tensor, targets: list[dict[str, Tensor]] | None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        # The network's own forward would start from pixels; only their sizes are needed here.
        shapes = [(int(height), int(width)) for height, width in sizes]
        frame = embeddings.new_zeros(1).expand(len(sizes), 1, self.image_size, self.image_size)
        features = self.network.backbone(embeddings)
        proposals, rpn_losses = self.network.rpn(ImageList(frame, shapes), features, targets)
        found, losses = self.network.roi_heads(features, proposals, shapes, targets)
        return found, {**rpn_losses, **losses}


@dataclass(frozen=True)
class DetectorTraining:
    """How the detector learns. All examples are held as embeddings, so there is a limit."""

    max_images: int = 256
    max_steps: int = 400
    batch_size: int = 4  # images
    lr: float = 1e-3
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_images", "max_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"detector_training.{name} is {getattr(self, name)}: at least 1 is needed"
                )

    def fit(self, predictor: SamPredictor, samples: Iterable[Sample]) -> ObjectDetector:
        """Trains a detector on the boxes of the masks of the samples, in 10 to 60 s on a CPU."""
        examples = list(islice(embedded_examples(predictor, samples), self.max_images))
        if not examples:
            raise ValueError(
                "the box detector has no masks to learn from: run assisted_manual first, or give "
                "a bootstrap pool with known masks"
            )
        torch.manual_seed(self.seed)
        embedding = examples[0][0]
        detector = ObjectDetector(embedding.shape[1], predictor.transform.target_length)
        detector.to(embedding.device).train()
        optimizer = torch.optim.AdamW(
            detector.parameters(), lr=self.lr, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, self.max_steps + 1)
        draw = np.random.default_rng(self.seed)
        for step in range(1, self.max_steps + 1):
            picked = [examples[i] for i in draw.integers(len(examples), size=self.batch_size)]
            embeddings, sizes, boxes = zip(*picked, strict=True)
            loss = detector.loss(torch.cat(embeddings).float(), torch.stack(sizes), list(boxes))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(detector.parameters(), self.clip_norm)
            optimizer.step()
            schedule.step()
            if step % max(self.max_steps // 4, 1) == 0:
                logger.info(f"detector: step {step}/{self.max_steps}, loss {loss.item():.3f}")
        return detector.eval()

    def fit_once(
        self, predictor: SamPredictor, samples: Iterable[Sample], weights: Path
    ) -> ObjectDetector:
        """Reads the detector from a file, or trains it and writes the file."""
        if not weights.exists():
            detector = self.fit(predictor, samples)
            with durable_file(weights) as file:
                file.write(save(detector.state_dict()))
        state = load_file(weights)
        detector = ObjectDetector(
            state["network.backbone.steps.0.0.weight"].shape[1], predictor.transform.target_length
        )
        detector.load_state_dict(state)
        return detector.to(predictor.device).eval()


Example = tuple[Float[Tensor, "1 C h w"], Int[Tensor, " 2"], Float[Tensor, "N 4"]]


def embedded_examples(predictor: SamPredictor, samples: Iterable[Sample]) -> Iterator[Example]:
    """The embedding in half precision, the input size and the boxes of each image with masks."""
    for sample in samples:
        boxes = [annotation["bbox"] for annotation in sample.record["annotations"]]
        boxes = [box for box in boxes if min(box[2:]) > 0]  # SA-1B's are 0 wide for one pixel
        if not boxes:
            continue
        try:
            predictor.set_image(read_image(sample.image_bytes))
        except ValueError:  # the phase that made the masks has listed it
            continue
        corners = box_convert(torch.tensor(boxes), "xywh", "xyxy")
        corners = predictor.transform.apply_boxes_torch(corners, predictor.original_size)
        size = torch.tensor(predictor.input_size)
        yield predictor.features.half(), size, corners.to(predictor.device)
