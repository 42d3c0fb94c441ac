"""What a training needs before it is begun: images/s, memory, time, energy, storage.

python -m tools.plan experiment=sa1b_vit_h gpus=256
"""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sam_train.command_line import hydra_main
from tools.planning.estimate import PAPER_GPUS, PAPER_HOURS, PEAK_SHARE, Need, need

TYPES = {
    "gpus": int,
    "images_per_s": float | None,
    "hours": float | None,
    "dataset": str | None,
    "max_steps": int,
}
LOWEST = {"gpus": 1, "max_steps": 1}
USABLE = 0.9  # of a GPU's memory; the rest is the allocator's and the libraries'


@hydra_main(
    "plan", config_name="plan", types=TYPES, lowest=LOWEST, may_lack=("fit.warm_start.source",)
)
def main(cfg: DictConfig) -> None:
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    for key in ("images_per_s", "hours"):
        if values[key] is not None and values[key] <= 0:
            raise ValueError(f"{key} is {values[key]}, but must be above 0")
    for line in lines(need(values), values):
        print(line)


def lines(found: Need, config: dict[str, Any]) -> Iterator[str]:
    """The plan, a line for each thing that is needed."""
    batch, gpus, per_gpu = config["data"]["batch_size"], found.gpus, found.images_per_s / found.gpus
    yield (
        f"{config['run_name']}: {config['max_steps']:,} steps of {batch * gpus} images on {gpus} "
        f"GPUs, {found.images:,} images of {found.tflops:.1f} TFLOPs each"
    )
    source = "as given" if found.given else "the paper's rate by FLOPs: measure with tools.doctor"
    yield (
        f"throughput  {found.images_per_s:.1f} images/s, {per_gpu:.2f} on each GPU ({source}); "
        f"{found.used_share:.1%} of its bf16 rate"
    )
    yield f"time        {found.hours:.1f} h, {found.hours * gpus:,.0f} GPU hours"
    bf16, fp32 = (
        found.hours_at(float(config["gpu"][rate])) for rate in ("bf16_tflops", "fp32_tflops")
    )
    yield (
        f"            by FLOPs alone {bf16:,.1f} h in bf16, {fp32:,.1f} h in fp32, at "
        f"{PEAK_SHARE:.0%} of the data sheet's rates"
    )
    if hours := config["hours"]:
        needed = found.images / hours / 3600
        yield (
            f"            in {hours:g} h it takes {needed:.1f} images/s, {needed / gpus:.2f} on "
            f"each GPU: {needed / found.images_per_s:.1f} times this, or "
            f"{needed / per_gpu:.0f} such GPUs"
        )
    yield f"energy      {found.kilowatt_hours:,.0f} kWh at {found.watts:.0f} W a GPU"
    yield from memory_lines(found, float(config["gpu"]["memory_gib"]))
    yield (
        f"loading     {found.loader_cores * gpus:.1f} cores in all, {found.loader_cores:.2f} for "
        f"each GPU; {found.read_bytes_per_s / 1e6:,.0f} MB/s from the disk"
    )
    yield (
        f"storage     {found.data_bytes / 1e12:.2f} TB of shards, "
        f"{found.checkpoint_bytes / 1e9:.1f} GB of checkpoints"
    )
    yield f"(SAM ViT-H took {PAPER_HOURS:.0f} h and 6,963 kWh on {PAPER_GPUS} A100: its model card)"


def memory_lines(found: Need, memory_gib: float) -> Iterator[str]:
    """What a GPU holds, and the remedy where it is too much."""
    total = found.state_gib + found.activation_gib
    yield (
        f"memory      about {total:.0f} GiB of {memory_gib:.0f} on each GPU: {found.state_gib:.1f} "
        f"weights, gradients, optimizer; {found.activation_gib:.0f} activations"
    )
    if total > USABLE * memory_gib:
        yield (
            "            too much: fit.module.passes.objects_per_call=16, "
            "fit.acceleration.checkpoint_encoder=true, or trainer=fsdp"
        )


if __name__ == "__main__":
    main()
