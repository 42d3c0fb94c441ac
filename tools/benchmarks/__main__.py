"""Times our code beside a public peer's on the same input, after their results were compared.

    python -m tools.benchmarks                 # all that have a peer, on the CPU
    python -m tools.benchmarks rle_encode      # one
    python -m tools.benchmarks amg_peak        # memory of automatic masks, without a peer
    python -m tools.benchmarks gpu             # encoder and training on one GPU, without a peer
    python -m tools.benchmarks amg_gpu         # automatic masks by ViT-H on one GPU
    python -m tools.benchmarks annotator       # the annotation page in Chromium, without a peer;
                                               # annotator_vit_b: with ViT-B

Those with a peer on the CPU: one thread, medians of CPU time of alternating runs: what else the
machine does disturbs it less than the clock. The exit status is 1 where the results differ; a
target that is missed is only said. The last line of each is JSON with the same numbers.
"""

import argparse
import os
import sys
from importlib import import_module

MODULES = (
    "data.rle_encode",
    "data.rle_resize",
    "data.loader",
    "training.error_points",
    "inference.error_centre",
    "training.mask_loss",
    "training.train_step",
    "training.encoder",
    "training.decoder",
    "inference.onnx_decoder",
    "inference.amg_post",
    "inference.small_regions",
    "inference.amg",
    "job",
    "inference.evaluation",
)
BENCHMARKS = {module.rpartition(".")[2]: module for module in MODULES}
PAGES = {"annotator": "tiny", "annotator_vit_b": "vit_b"}  # the model behind the page
ON_GPU = {"gpu": "training.gpu", "amg_gpu": "inference.amg_gpu"}
WITH_OWN_TABLE = ("amg_peak", *ON_GPU, *PAGES)


def main(arguments: list[str] | None = None) -> None:
    """Runs the named benchmarks, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = (*BENCHMARKS, *WITH_OWN_TABLE)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args(arguments).names or list(BENCHMARKS)
    if unknown := set(names) - set(known):
        parser.error(f"there is no benchmark {min(unknown)}; there are {', '.join(known)}")
    for name in names:
        if name in ON_GPU:
            on_gpu(ON_GPU[name])
        if name in PAGES:
            import_module("tools.benchmarks.annotator").main(PAGES[name])
    # Before torch, OpenCV or NumPy are imported.
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    from tools.benchmarks.comparison import report

    if "amg_peak" in names:
        import_module("tools.benchmarks.inference.amg_peak").main()
    names = [name for name in names if name not in WITH_OWN_TABLE]
    if not names:
        return
    equal = [
        report(import_module(f"tools.benchmarks.{BENCHMARKS[name]}").compare()) for name in names
    ]
    if not all(equal):
        sys.exit("benchmarks: the results of ours and of the peer differ, see the table.")


def on_gpu(module: str) -> None:
    """Runs a benchmark of a GPU, if there is one."""
    import torch

    if not torch.cuda.is_available():
        sys.exit("benchmarks: there is no GPU here, so nothing is measured on one.")
    import_module(f"tools.benchmarks.{module}").main()


if __name__ == "__main__":
    main()
