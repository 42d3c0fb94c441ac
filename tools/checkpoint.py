"""Weights go from one kind of file to another: ours, published ones, Hugging Face's folders.

    python -m tools.checkpoint sam_vit_b_01ec64.pth vit_b.safetensors --model vit_b
    python -m tools.checkpoint facebook/sam-vit-base vit_b.safetensors
    python -m tools.checkpoint outputs/train/model.safetensors sam-for-transformers

The target's name says what is written: .safetensors is ours (with a .json beside it), .pth or .pt
the file that the published package of the family reads, and a name without suffix a folder that
`transformers.SamModel.from_pretrained` reads. A source that is a folder is one of transformers.
"""

import argparse
from pathlib import Path
from typing import Any

from sam_train.command_line import one_sentence_errors


def main(arguments: list[str] | None = None) -> None:
    """Converts one set of weights."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.checkpoint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help=".safetensors, a published file, or a folder")
    parser.add_argument("target", type=Path, help=".safetensors, .pth, .pt, or a folder")
    parser.add_argument("--model", help="name in sam_model_registry, for a published file")
    parsed = parser.parse_args(arguments)
    with one_sentence_errors("checkpoint"):
        for path in written_for(parsed.target):
            if path.exists():
                raise ValueError(f"{path} is there already: name another target.")
        if parsed.target.suffix not in (".safetensors", ".pth", ".pt", ""):
            raise ValueError(
                f"{parsed.target} is no kind of checkpoint: end its name in .safetensors, .pth or "
                ".pt, or give a folder's name without suffix."
            )
        write(read(parsed.source, parsed.model), parsed.target)
        print(f"{parsed.target} was written")


def written_for(target: Path) -> list[Path]:
    """The target, and what is written beside it."""
    return [target] + [target.with_suffix(".json")] * (target.suffix == ".safetensors")


def read(source: Path, model: str | None) -> Any:
    """The model with the weights of a file, or of a folder of transformers."""
    from sam_train.evaluation.models.sam import known_checkpoint, load_sam
    from sam_train.modeling.weights.hugging_face import read_folder

    if source.is_dir():
        return read_folder(source)
    checkpoint = known_checkpoint(source, model)
    if checkpoint.suffix == ".onnx":
        raise ValueError(f"{checkpoint} is an export: name the weights that it was made from.")
    return load_sam(checkpoint, model, "cpu")


def write(sam: Any, target: Path) -> None:
    """Writes the weights as the target's name says."""
    from sam_train.modeling.checkpoint import save_model, save_official
    from sam_train.modeling.weights.hugging_face import write_folder

    if target.suffix == ".safetensors":
        name, config = sam.recipe
        save_model(sam, target, model=name, config=config)
    elif target.suffix:
        save_official(sam, target)
    else:
        write_folder(sam, target)


if __name__ == "__main__":
    main()
