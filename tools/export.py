"""A model becomes two ONNX graphs, which run without PyTorch's network, and a card about them.

    python -m tools.export outputs/quickstart/model.safetensors --out outputs/onnx
    python -m sam_train.evaluate checkpoint=outputs/onnx/decoder.onnx suite=scenes
    python -m data_engine.serve checkpoint=outputs/onnx/decoder.onnx pool=folder pool.path=PHOTOS

encoder.onnx runs once for an image, decoder.onnx for every prompt; the graphs with int8 in their
name hold the weights of matrix products in 8 bits. README.md is the model's card.
"""

import argparse
from pathlib import Path

from sam_train.command_line import one_sentence_errors


def main(arguments: list[str] | None = None) -> None:
    """Exports one checkpoint."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help=".safetensors, or an official .pth")
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--model", help="name in sam_model_registry, for a .pth")
    parser.add_argument("--opset", type=int, default=20, help="version of ONNX's operators")
    parser.add_argument("--no-int8", action="store_true", help="leave out the quantised graphs")
    parser.add_argument("--report", type=Path, help="report.json whose numbers the card shows")
    parser.add_argument("--license", help="of the weights, for the card")
    with one_sentence_errors("export"):
        export(parser.parse_args(arguments))


def export(parsed: argparse.Namespace) -> None:
    """Exports, writes the card, and says how far the graphs lie from the model."""
    from sam_train.data.store.durable import durable_file, file_sha256
    from sam_train.evaluation.models.sam import known_checkpoint, load_sam
    from sam_train.inference.export import check_opset, export_model
    from sam_train.inference.model_card import model_card, results_of

    checkpoint = known_checkpoint(parsed.checkpoint, parsed.model)
    if checkpoint.suffix == ".onnx":
        raise ValueError(f"{checkpoint} is an export already: name the weights it was made from.")
    if parsed.report is not None and not parsed.report.is_file():
        raise FileNotFoundError(f"there is no report {parsed.report}; check --report")
    check_opset(parsed.opset)
    sha256 = file_sha256(checkpoint)
    results = results_of(checkpoint, sha256, parsed.report)
    description = export_model(
        load_sam(checkpoint, parsed.model, "cpu"),
        parsed.out,
        opset=parsed.opset,
        int8=not parsed.no_int8,
        origin={"checkpoint": checkpoint.name, "sha256": sha256},
    )
    card = model_card(description, checkpoint=checkpoint, results=results, license=parsed.license)
    with durable_file(parsed.out / "README.md") as file:
        file.write(card.encode())
    for name, differences in description["difference"].items():
        shown = ", ".join(f"{key} within {value:.1e}" for key, value in differences.items())
        print(f"{parsed.out / name}: {description['files'][name]['bytes'] / 1e6:.1f} MB, {shown}")


if __name__ == "__main__":
    main()
