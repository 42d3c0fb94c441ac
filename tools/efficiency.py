"""What each model costs: parameters, products, milliseconds and memory, as a Markdown table.

    python -m tools.efficiency                          # the whole family on the CPU, one thread
    python -m tools.efficiency tiny mobile_sam --threads 2
    python -m tools.efficiency --device cuda --out efficiency.md

One image through the encoder, and one click through prompt encoder and mask decoder, at the input
frame of each model, with random weights in float32. Each model has a process of its own. One
thread is measured in CPU time, which other work on the machine disturbs less than the clock.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sam_train.command_line import one_sentence_errors
from sam_train.interrupts import ctrl_c_left_to_this_process

MODELS = ("tiny", "mobile_sam", "efficient_sam_ti", "efficient_sam_s", "vit_b", "vit_l", "vit_h")
SECONDS, MOST_RUNS = 4.0, 20  # a measurement stops at either


@dataclass(frozen=True)
class Cost:
    """One row of the table; `gmacs` are 10^9 multiplications with an addition each."""

    model: str
    image_size: int
    parameters: int
    encoder_gmacs: float
    decoder_gmacs: float
    encoder_ms: float
    decoder_ms: float
    peak_mb: float

    def row(self) -> str:
        return (
            f"| {self.model} | {self.image_size} | {self.parameters / 1e6:.1f} "
            f"| {self.encoder_gmacs:.1f} | {self.decoder_gmacs:.2f} "
            f"| {self.encoder_ms:,.0f} | {self.decoder_ms:,.1f} | {self.peak_mb:,.0f} |"
        )


def main(arguments: list[str] | None = None) -> None:
    """Measures the named models, or all, and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--image-size", type=int, help="instead of each model's own")
    parser.add_argument("--out", type=Path, help="a file that gets the table too")
    parsed = parser.parse_args(arguments)
    with one_sentence_errors("efficiency"):
        lines = list(table(parsed))
        if parsed.out is not None:
            from sam_train.data.store.durable import durable_file

            with durable_file(parsed.out) as file:
                file.write("\n".join(lines).encode() + b"\n")


def table(parsed: argparse.Namespace) -> list[str]:
    """The lines of the table, each printed as soon as it is known."""
    if unknown := set(parsed.models) - set(MODELS):
        raise ValueError(f"there is no model {min(unknown)}, only {', '.join(MODELS)}")
    if parsed.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ValueError("there is no GPU here: leave --device cuda out")
    where = f"{parsed.threads} thread" + "s" * (parsed.threads > 1)
    lines = [
        "| model | frame | M parameters | encoder GMACs | decoder GMACs | encoder ms | click ms "
        f"| peak MB, {where if parsed.device == 'cpu' else 'GPU'} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for model in parsed.models or MODELS:
        cost = in_a_process(measure, model, parsed.device, parsed.threads, parsed.image_size)
        lines.append(cost.row())
        print(lines[-1], flush=True)
    return lines


def in_a_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of work in a fresh process, whose memory is that work's alone."""
    with ctrl_c_left_to_this_process():
        workers = multiprocessing.get_context("spawn").Pool(1)
    with workers as pool:
        return pool.apply(work, arguments)


def measure(model: str, device: str, threads: int, image_size: int | None) -> Cost:
    """Weighs, times and counts one image and one click."""
    import torch

    from sam_train.interaction.prompts import point_prompts
    from sam_train.modeling.build import sam_model_registry

    torch.set_num_threads(threads)
    options = {} if image_size is None else {"image_size": image_size}
    sam = sam_model_registry[model](**options).requires_grad_(False).to(device)
    side = sam.image_size
    image = torch.randn(1, 3, side, side, device=device)
    prompts = point_prompts(torch.tensor([[side / 2, side / 2]]), torch.tensor([1])).to(sam.device)
    index = torch.zeros(1, dtype=torch.int64, device=device)

    with torch.no_grad():
        before = memory_mb(device)
        embedding = sam.image_encoder(image)
        sam.decode(embedding, prompts, index)
        peak = memory_mb(device) - before
        clock = time.process_time if device == "cpu" and threads == 1 else time.perf_counter
        encoder_ms = milliseconds(lambda: sam.image_encoder(image), device, clock)
        decoder_ms = milliseconds(lambda: sam.decode(embedding, prompts, index), device, clock)
        encoder_gmacs = gmacs(lambda: sam.image_encoder(image))
        decoder_gmacs = gmacs(lambda: sam.decode(embedding, prompts, index))
    parameters = sum(parameter.numel() for parameter in sam.parameters())
    gmacs_of_both = (encoder_gmacs, decoder_gmacs)
    return Cost(model, side, parameters, *gmacs_of_both, encoder_ms, decoder_ms, peak)


def gmacs(work: Callable[[], Any]) -> float:
    """The multiplications of matrix products, convolutions and attention in one run.

    It runs on tensors without content, which costs next to nothing.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2e9


def milliseconds(work: Callable[[], Any], device: str, clock: Callable[[], float]) -> float:
    """The median of some runs after a first."""
    runs: list[float] = []
    started = time.perf_counter()
    while len(runs) < MOST_RUNS and (not runs or time.perf_counter() - started < SECONDS):
        start = clock()
        work()
        if device == "cuda":
            import torch

            torch.cuda.synchronize()
        runs.append(clock() - start)
    return median(runs) * 1e3


def memory_mb(device: str) -> float:
    """The most that this process, or its part of the GPU, has held so far."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
