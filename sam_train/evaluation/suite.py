"""The evaluation of one model on all sets of a suite, up to its report."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sam_train.data.sets.image_sets import ImageSet
from sam_train.data.stream.bad_samples import BadSampleLog
from sam_train.evaluation.clicks import evaluate_clicks
from sam_train.evaluation.examples import click_examples
from sam_train.evaluation.metrics import summarise
from sam_train.evaluation.report import write_report
from sam_train.modeling.build import sam_model_registry
from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam


def load_sam(checkpoint: Path, *, model: str | None = None, device: str | None = None) -> Sam:
    """Loads a model of this project, or an official .pth of the named `model`.

    Without `device` it goes where there is an accelerator.
    """
    if model is None:
        sam = load_model(checkpoint)
    elif model in sam_model_registry:
        sam = sam_model_registry[model](checkpoint=checkpoint)
    else:
        raise ValueError(f"there is no model {model!r}, only {', '.join(sam_model_registry)}")
    return sam.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def evaluate_suite(
    sam: Sam,
    image_sets: Sequence[ImageSet],
    *,
    protocol: Mapping[str, Any],
    output_dir: Path,
    examples: int,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Evaluates, writes the report with pictures of `examples` objects, and returns its json.

    `protocol` are keyword arguments of `evaluate_clicks`; `origin` says which model and which
    command, and is passed on. Images that cannot be read are listed in bad_samples.jsonl.
    """
    start = time.monotonic()
    on_bad = BadSampleLog(output_dir / "bad_samples.jsonl")
    rows = evaluate_clicks(sam, image_sets, **protocol, on_bad=on_bad)
    if not rows:
        raise ValueError("no set of the suite holds a mask; choose sets with known masks")
    pictures = click_examples(
        sam, image_sets, examples, output_dir=output_dir / "examples", on_bad=on_bad
    )
    report = {
        **summarise(rows),
        **origin,
        "protocol": dict(protocol),
        "seconds": time.monotonic() - start,
        "bad_images": sum(on_bad.counts().values()),
        "examples": pictures,
    }
    write_report(output_dir, report, rows)
    return report
