"""What a training needs, from its config, a kind of GPU and a throughput.

Without a throughput that somebody measured there are two answers. One is the paper's: GPUs at the
rate that its 68 hours amount to, which gives those hours back for its own training and is a check
of the scaling alone. The other takes nothing from them: the FLOPs of the network at PEAK_SHARE of
the data sheet's rate, in bf16 and in fp32, without a wait for images or for gradients. Megatron-LM
reaches 44 to 52 % of an A100's bf16 rate (Narayanan et al., arXiv 2104.04473, Table 1). For the
paper's ViT-H they are 5.8 and 92 hours: its 68 are 3 % of an A100's bf16 rate, but 54 % of the
19.5 TFLOPS of its fp32 units, which PyTorch uses unless it is told otherwise. The paper does not
name its precision.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.planning.flops import Vit, image_flops, sam_weights, vit_of

# The paper's training of ViT-H (SAM's model card, Table 9): 90,000 steps of 256 images.
PAPER_GPUS, PAPER_HOURS, PAPER_IMAGES, PAPER_TFLOPS = 256, 68.0, 90_000 * 256, 312
PAPER_MASKS, PAPER_ROUNDS, PAPER_CORRECTIONS = 64, 11, 8.0
SA1B_IMAGES, SA1B_BYTES = 11_000_000, 11.0e12  # 1,000 tars of about 11 GB
CORE_SECONDS = 0.024  # of one core for an image of 1500 x 2250 pixels: tools.benchmarks loader
PEAK_SHARE = 0.4
STATE_BYTES = 16  # a weight in fp32, its gradient, AdamW's two moments
SAVED_BYTES = 12  # of these in a checkpoint
MASK_BYTES = 285e6 / 2  # a mask's pass through the decoder in bf16: half of what fp32 takes
BLOCK_NUMBERS = 34  # a token and channel's activations in a block (arXiv 2205.05198, sec. 4), bytes


@dataclass(frozen=True)
class Need:
    """One training. Energy is the GPUs' power as on their data sheet, as the paper counts it."""

    images: int
    images_per_s: float  # of all GPUs
    given: bool  # measured by somebody, not derived from the paper
    gpus: int
    tflops: float  # of one image
    used_share: float  # of the GPUs' bf16 rate
    state_gib: float  # of weights, gradients and optimizer on a GPU
    activation_gib: float
    watts: float
    read_bytes_per_s: float
    data_bytes: float
    checkpoint_bytes: int

    @property
    def hours(self) -> float:
        return self.images / self.images_per_s / 3600

    def hours_at(self, tflops: float) -> float:
        """By FLOPs alone, on GPUs that reach PEAK_SHARE of so many a second."""
        return self.images * self.tflops / (PEAK_SHARE * tflops * self.gpus) / 3600

    @property
    def kilowatt_hours(self) -> float:
        return self.gpus * self.watts * self.hours / 1000

    @property
    def loader_cores(self) -> float:
        """Cores of a GPU's share of the machine that only load."""
        return self.images_per_s / self.gpus * CORE_SECONDS


def need(config: dict[str, Any]) -> Need:
    """The need of the composed config of tools.plan."""
    vit, layers = vit_of(config["model"]), config["model"]["decoder_depth"]
    gpus, batch, gpu = config["gpus"], config["data"]["batch_size"], config["gpu"]
    recomputed = config["fit"]["acceleration"]["checkpoint_encoder"]
    masks = config["data"]["make_example"]["max_masks"]
    interaction = config["interaction"]
    flops = image_flops(
        vit,
        layers=layers,
        prompts=masks * rounds(interaction),
        points=points(corrections(interaction)),
        recomputed=recomputed,
    )
    given = config["images_per_s"]
    speed = (
        float(given) if given else paper_flops_per_s() * gpu["bf16_tflops"] / PAPER_TFLOPS / flops
    )
    passes = config["fit"]["module"]["passes"]
    weights = sam_weights(vit, layers)
    data_bytes, data_images = dataset_size(config["dataset"])
    return Need(
        images=config["max_steps"] * batch * gpus,
        images_per_s=speed * gpus,
        given=given is not None,
        gpus=gpus,
        tflops=flops / 1e12,
        used_share=speed * flops / (gpu["bf16_tflops"] * 1e12),
        state_gib=weights * STATE_BYTES / 2**30,
        activation_gib=activation_bytes(
            vit,
            images=passes["images_per_pass"] or batch,
            objects=passes["objects_per_call"] or masks * batch,
            recomputed=recomputed,
        )
        / 2**30,
        watts=float(gpu["watts"]),
        read_bytes_per_s=speed * gpus * data_bytes / data_images,
        data_bytes=data_bytes,
        checkpoint_bytes=weights * SAVED_BYTES * (config["fit"]["checkpoints"]["keep"] + 1),
    )


def rounds(interaction: dict[str, Any]) -> float:
    """Decoder passes for an object, on average where a step draws how many it plays."""
    return 1 + corrections(interaction) + interaction["rounds_without_point"]


def corrections(interaction: dict[str, Any]) -> float:
    most, fewest = interaction["num_corrections"], interaction["fewest_corrections"]
    return float(most if fewest is None else (most + fewest) / 2)


def points(corrections: float) -> float:
    """Of a prompt, on average over the rounds: first a click or a box, then one more each."""
    return 1.5 + corrections / 2


def paper_flops_per_s() -> float:
    """Of one of the paper's GPUs, if it recomputed the encoder as experiment=sa1b_vit_h does."""
    per_gpu = PAPER_IMAGES / (PAPER_GPUS * PAPER_HOURS * 3600)
    paper = Vit(1280, 32, 16, 4, 1024)
    flops = image_flops(
        paper,
        layers=2,
        prompts=float(PAPER_MASKS * PAPER_ROUNDS),
        points=points(PAPER_CORRECTIONS),
        recomputed=True,
    )
    return per_gpu * flops


def activation_bytes(vit: Vit, *, images: int, objects: int, recomputed: bool) -> float:
    """What a step keeps for its backward pass; an estimate, to be held against a short run."""
    numbers = images * vit.side**2 * vit.width
    scores = images * vit.heads * vit.side**4 * 2  # a global block's relative positions
    inside = BLOCK_NUMBERS * numbers
    encoder = vit.depth * 2 * numbers + inside + scores
    if not recomputed:
        encoder = vit.depth * inside + vit.global_blocks * scores
    return encoder + objects * MASK_BYTES


def dataset_size(dataset: str | None) -> tuple[float, int]:
    """The bytes and images of a dataset's latest version, or of SA-1B as published."""
    if dataset is None:
        return SA1B_BYTES, SA1B_IMAGES
    manifests = sorted((Path(dataset) / "manifests").glob("*.json"))
    if not manifests:
        raise FileNotFoundError(f"{dataset} is no dataset: it has no manifests/, check dataset=DIR")
    shards = json.loads(manifests[-1].read_text())["shards"]
    return float(sum(shard["bytes"] for shard in shards)), sum(
        shard["image_count"] for shard in shards
    )
