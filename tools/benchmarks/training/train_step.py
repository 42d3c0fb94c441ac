"""The interactive training step of 4 masks on an image of 1024 pixels: a click and 7 corrections.

The image encoder is a stub, so that the rounds are what is timed. The peer is sam2's step of the
same weights: its prompt encoder, decoder, click sampler and losses, in the loop of `SAM2Train`
(`_iter_correct_pt_sampling`, `_forward_sam_heads`), rewritten without its video memory, its sizes
of 1024 pixels for clicks and losses set to ours, 256. Equal means the same losses and gradient of
the image's embedding to a thousandth, given our clicks; the peer's gradient flows through the mask
prompts, so ours does for that. Time is of our default, which detaches them. Memory is to be at
most a third of the peer's, and the same in the second row, of 3 rounds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from sam2.modeling.sam2_utils import get_next_point
from torch import Tensor, nn
from training.loss_fns import CORE_LOSS_KEY, MultiStepMultiMasksAndIous

from sam_train.data.stream.collate import Batch
from sam_train.interaction.annotator import TrainingAnnotator
from sam_train.interaction.prompts import Prompts
from sam_train.modeling.build import assemble
from sam_train.modeling.sam import Sam
from sam_train.training.losses import MaskLoss
from sam_train.training.optim import Optimization
from sam_train.training.rounds import RoundRules
from sam_train.training.sam_module import SamModule
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.half_trained import draw_masks

MASKS, SIDE, GRID, DIM = 4, 1024, 256, 256
ROUNDS = 8
Clicks = tuple[Tensor, Tensor]  # coordinates (N, 1, 2) in the input frame and labels (N, 1)
Sampler = Callable[[Tensor, Tensor | None], Clicks]  # from true and predicted masks (N, 1, h, w)


class StubEncoder(nn.Module):
    """Gives the same embedding for any image."""

    def __init__(self) -> None:
        super().__init__()
        self.img_size, self.embedding_size = SIDE, SIDE // 16
        side = self.embedding_size
        self.embedding = nn.Parameter(torch.randn(1, DIM, side, side))

    def forward(self, x: Tensor) -> Tensor:
        return self.embedding.expand(len(x), -1, -1, -1)


class Recorder(TrainingAnnotator):
    """Remembers the prompts that it gives."""

    def __call__(self, *args: Any, **kwargs: Any) -> Prompts:
        self.last = super().__call__(*args, **kwargs)
        return self.last


class PeerStep(nn.Module):
    """sam2's step with the weights of `sam`."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        grid = (SIDE // 16, SIDE // 16)
        self.prompt_encoder = PromptEncoder(DIM, grid, (SIDE, SIDE), mask_in_chans=16)
        transformer = TwoWayTransformer(2, DIM, num_heads=8, mlp_dim=2048)
        self.mask_decoder = MaskDecoder(transformer_dim=DIM, transformer=transformer)
        self.image_encoder = sam.image_encoder
        self.load_state_dict({name_in_sam2(k): v for k, v in sam.state_dict().items()})
        weights = {"loss_mask": 20.0, "loss_dice": 1.0, "loss_iou": 1.0}
        self.loss = MultiStepMultiMasksAndIous(weights)

    def forward(self, gt_masks: Tensor, rounds: int, sampler: Sampler) -> Tensor:
        """The loss of all rounds, whose graphs are kept until the end."""
        image = self.image_encoder(gt_masks[:1]).repeat(len(gt_masks), 1, 1, 1)
        pred_masks, best, points = None, None, None
        outputs: dict[str, list] = {"masks": [], "ious": []}
        for number in range(rounds):
            click = sampler(gt_masks[:, None], pred_masks)
            points = click if points is None else concatenated(points, click)
            masks, ious = self.decode(image, points, best, multimask_output=number == 0)
            best = masks[torch.arange(len(masks)), ious.argmax(1)][:, None]
            pred_masks = best > 0
            outputs["masks"].append(masks)
            outputs["ious"].append(ious)
        outs = {
            "multistep_pred_multimasks_high_res": outputs["masks"],
            "multistep_pred_ious": outputs["ious"],
            "multistep_object_score_logits": [None] * rounds,
        }
        return self.loss([outs], gt_masks[None])[CORE_LOSS_KEY]

    def decode(
        self, image: Tensor, points: Clicks, masks: Tensor | None, *, multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        sparse, dense = self.prompt_encoder(points=points, boxes=None, masks=masks)
        logits, ious, _, _ = self.mask_decoder(
            image_embeddings=image,
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
            repeat_image=False,
        )
        return logits, ious


def compare() -> list[Comparison]:
    """All rounds, and a few, which shows how memory grows."""
    return [comparison(ROUNDS, target=1.5), comparison(3)]


def comparison(rounds: int, *, target: float | None = None) -> Comparison:
    torch.manual_seed(0)
    sam = assemble(StubEncoder(), dim=DIM, depth=2, num_heads=8, mlp_dim=2048, dropout=0.0)
    peer, gt_masks = PeerStep(sam), draw_masks(MASKS, GRID)

    def theirs() -> Tensor:
        return peer(gt_masks, rounds, random_clicks).backward()

    return Comparison(
        f"train_step, {rounds} rounds",
        "sam2",
        lambda: step(sam, gt_masks, rounds, RoundRules(sum_rounds=True)),
        theirs,
        equal=are_equal(sam, peer, gt_masks, rounds),
        n=1,
        target=target,
    )


def step(sam: Sam, gt_masks: Tensor, rounds: int, rules: RoundRules) -> tuple[Tensor, Prompts]:
    """Our step: the loss of all rounds and the prompts of the last."""
    annotator = Recorder(num_corrections=rounds - 1, rounds_without_point=0, box_probability=0.0)
    unused = Optimization(partial(torch.optim.SGD), lambda progress: 1.0, lr=1.0, weight_decay=0.0)
    module = SamModule(sam, annotator=annotator, loss=MaskLoss(), optimization=unused, rules=rules)
    played, _ = module.interact(batch_of(gt_masks))
    return torch.stack([losses["loss"].mean() for losses in played]).sum(), annotator.last


def are_equal(sam: Sam, peer: PeerStep, gt_masks: Tensor, rounds: int) -> bool:
    """Whether losses and gradients agree to a thousandth, given the same clicks."""
    loss, prompts = step(sam, gt_masks, rounds, RoundRules(sum_rounds=True, detach_feedback=False))
    gradient = sam.image_encoder.embedding.grad.clone()
    sam.zero_grad()
    without_padding = [0, *range(2, prompts.point_labels.shape[1])]
    coords, labels = (
        part[:, without_padding].split(1, dim=1)
        for part in (prompts.point_coords, prompts.point_labels)
    )
    clicks = iter(zip(coords, labels, strict=True))
    peers_loss = peer(gt_masks, rounds, lambda *_: next(clicks))
    peers_loss.backward()
    peers_gradient = peer.image_encoder.embedding.grad
    pairs = ((loss, peers_loss), (gradient, peers_gradient))
    return all(bool((one - other).abs().max() < 1e-3 * other.abs().max()) for one, other in pairs)


def random_clicks(gt_masks: Tensor, pred_masks: Tensor | None) -> Clicks:
    coords, labels = get_next_point(gt_masks, pred_masks, "uniform")
    return (coords + 0.5) * SIDE / GRID - 0.5, labels


def concatenated(points: Clicks, click: Clicks) -> Clicks:
    coords, labels = (torch.cat(pair, dim=1) for pair in zip(points, click, strict=True))
    return coords, labels


def name_in_sam2(name: str) -> str:
    """The MLP layers of a block of the decoder are lin1 and lin2 in SAM, a list in SAM 2."""
    return name.replace("mlp.lin1", "mlp.layers.0").replace("mlp.lin2", "mlp.layers.1")


def batch_of(gt_masks: Tensor) -> Batch:
    """One blank image with these masks."""
    count = len(gt_masks)
    size = torch.tensor([[SIDE, SIDE]])
    return {
        "images": torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8),
        "input_sizes": size,
        "original_sizes": size,
        "gt_masks": gt_masks,
        "image_index": torch.zeros(count, dtype=torch.int64),
        "object_seeds": torch.arange(count),
        "keys": ["blank"],
    }
