"""A teacher's image embeddings of a dataset, kept on disk for distillation.

    python -m tools.embed DATASET --teacher MODEL --out EMBEDDINGS
    python -m sam_train.train fit=distill_encoder model=tiny_light data=shards dataset=DATASET \\
        fit.module.teacher.checkpoint=MODEL fit.module.embeddings.folder=EMBEDDINGS \\
        callbacks=distillation
"""

import argparse
import logging
from pathlib import Path

from sam_train.command_line import one_sentence_errors


def main(arguments: list[str] | None = None) -> None:
    """Fills the cache; what is there is kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.embed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help="folder or URL of a dataset")
    parser.add_argument("--version", default="latest", help="number or tag (latest)")
    parser.add_argument("--teacher", required=True, help=".safetensors, or an official .pth")
    parser.add_argument("--model-type", help="name in sam_model_registry, for a .pth: vit_h")
    parser.add_argument("--out", required=True, type=Path, help="folder of the embeddings")
    parser.add_argument(
        "--stretch", action="store_true", help="images to the frame, as an EfficientSAM sees them"
    )
    parser.add_argument("--batch-size", type=int, default=4, help="images encoded at once (4)")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_sentence_errors("embed"):
        if parsed.batch_size < 1:
            raise ValueError(f"--batch-size is {parsed.batch_size}; it must be at least 1")
        count = embed(parsed)
        print(f"{count} embeddings were added to {parsed.out}")


def embed(parsed: argparse.Namespace) -> int:
    """Loads the teacher and looks at every image of the version."""
    from sam_train.data.store.bad_samples import BadSampleLog
    from sam_train.data.store.locations import location
    from sam_train.data.store.manifest import Dataset
    from sam_train.evaluation.models.sam import known_checkpoint, load_sam
    from sam_train.training.distillation.teacher_embeddings import embed_version

    checkpoint = known_checkpoint(parsed.teacher, parsed.model_type)
    if checkpoint.suffix == ".onnx":
        raise ValueError(f"{checkpoint} is an export: name the weights that it was made from")
    dataset = Dataset(location(parsed.dataset))
    teacher = load_sam(checkpoint, parsed.model_type).eval()
    teacher.keeps_aspect = teacher.keeps_aspect and not parsed.stretch
    return embed_version(
        teacher,
        dataset,
        dataset.read(parsed.version),
        parsed.out,
        batch_size=parsed.batch_size,
        on_bad=BadSampleLog(parsed.out / "bad_samples.jsonl"),
    )


if __name__ == "__main__":
    main()
