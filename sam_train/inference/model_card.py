"""What one must know of exported weights: from which data, by which recipe, how good, whose."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

NOT_RECORDED = "not recorded beside the weights"
NO_LICENSE = (
    "not stated. The licence of the code does not cover weights: ask who trained them, and mind "
    "the terms of their training data"
)


def model_card(
    description: Mapping[str, Any],
    *,
    checkpoint: Path,
    report: Path | None = None,
    license: str | None = None,
) -> str:
    """The card of an export as Markdown.

    `description` is what `export_model` returns. Recipe and numbers are those of the run that
    wrote the checkpoint, as far as they lie beside it: config.yaml, or what the checkpoint's json
    keeps of it, and report.json, or `report`.
    """
    config = recipe(checkpoint)
    report = report or checkpoint.with_name("report.json")
    results = json.loads(report.read_text()) if report.is_file() else {}
    lines = [
        f"# {description['model']}, exported to ONNX",
        "",
        f"- Model: `{description['model']}`, {description['parameters']:,} parameters, "
        f"input frame {description['image_size']} pixels, {json.dumps(description['config'])}",
        f"- Weights: `{checkpoint.name}`, sha256 `{description['origin'].get('sha256')}`",
        f"- Data: {data_versions(config, results)}",
        f"- Licence: {license or NO_LICENSE}",
        "",
        "## Files",
        "",
        *files_table(description),
        "",
        "## Numbers",
        "",
        *numbers_table(results, report),
        "",
        "## Recipe",
        "",
        *(["```yaml", config.rstrip(), "```"] if config else [NOT_RECORDED]),
    ]
    return "\n".join(lines) + "\n"


def recipe(checkpoint: Path) -> str | None:
    """The config of the run that wrote the checkpoint, as YAML, if it is known."""
    config, card = checkpoint.with_name("config.yaml"), checkpoint.with_suffix(".json")
    if config.is_file():
        return config.read_text()
    kept = json.loads(card.read_text()).get("origin", {}) if card.is_file() else {}
    return yaml.safe_dump(kept["config"], sort_keys=False) if "config" in kept else None


def data_versions(config: str | None, results: Mapping[str, Any]) -> str:
    """The datasets and their versions that the run's config and report name."""
    settings = yaml.safe_load(config) if config else {}
    named = {key: settings.get(key) for key in ("dataset", "dataset_version", "bootstrap", "pool")}
    named["dataset_version"] = results.get("dataset_version") or named["dataset_version"]
    parts = [f"{key} {json.dumps(value)}" for key, value in named.items() if value is not None]
    return ", ".join(parts) or NOT_RECORDED


def files_table(description: Mapping[str, Any]) -> Iterator[str]:
    """Size, hash and distance from the model of each graph."""
    yield f"Opset {description['opset']}. Differences are from PyTorch, in float32."
    yield ""
    yield "| file | MB | largest difference | sha256 |"
    yield "|---|---|---|---|"
    for name, facts in description["files"].items():
        differences = description["difference"].get(name, {})
        shown = ", ".join(f"{key} {value:.1e}" for key, value in differences.items())
        yield f"| {name} | {facts['bytes'] / 1e6:.1f} | {shown} | `{facts['sha256']}` |"


def numbers_table(results: Mapping[str, Any], report: Path) -> Iterator[str]:
    """The means of an evaluation, or of the last round of the data engine."""
    numbers = results.get("mean") or results.get("final") or {}
    numbers = {key: value for key, value in numbers.items() if isinstance(value, int | float)}
    if not numbers:
        yield NOT_RECORDED
        return
    yield f"Of PyTorch, from `{report.name}` (checkpoint `{results.get('checkpoint_sha256')}`)."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield from (f"| {key} | {value:.3f} |" for key, value in numbers.items())
