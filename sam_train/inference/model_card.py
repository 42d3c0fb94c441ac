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
    results: Mapping[str, Any],
    license: str | None = None,
) -> str:
    """The card of an export as Markdown.

    `description` is what `export_model` returns, `results` what `results_of` does. The recipe is
    that of the run that wrote the checkpoint, if it lies beside it: config.yaml, or what the
    checkpoint's json keeps of it.
    """
    config = recipe(checkpoint)
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
        *numbers_tables(results),
        "",
        "## Recipe",
        "",
        *(["```yaml", config.rstrip(), "```"] if config else [NOT_RECORDED]),
    ]
    return "\n".join(lines) + "\n"


def results_of(checkpoint: Path, sha256: str, report: Path | None = None) -> Mapping[str, Any]:
    """The report on the weights with that hash: `report`, or report.json beside them, or nothing.

    Raises ValueError if `report` is of other weights.
    """
    path = report or checkpoint.with_name("report.json")
    results = json.loads(path.read_text()) if path.is_file() else {}
    found = results.get("checkpoint_sha256", sha256)
    if found == sha256:
        return results
    if report is None:
        return {}
    raise ValueError(
        f"{report} is of other weights (sha256 {str(found)[:12]}...) than {checkpoint} "
        f"({sha256[:12]}...): name the report on these."
    )


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
    parts = [f"{key} {shown(value)}" for key, value in named.items() if value is not None]
    return ", ".join(parts) or NOT_RECORDED


def shown(value: Any) -> str:
    """A setting on one line; of what a config builds, the plain values."""
    if not isinstance(value, Mapping):
        return json.dumps(value)
    plain = {k: v for k, v in value.items() if k[0] != "_" and isinstance(v, str | int | float)}
    return "(" + ", ".join(f"{key} {json.dumps(part)}" for key, part in plain.items()) + ")"


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


def numbers_tables(results: Mapping[str, Any]) -> Iterator[str]:
    """The means of each protocol of an evaluation, or of the data engine's last round."""
    last_round = {"clicks": {"mean": results.get("final", {})}}
    protocols = results.get("protocols") or last_round
    if not any(protocol["mean"] for protocol in protocols.values()):
        yield NOT_RECORDED
        return
    yield "Of PyTorch."
    for name, protocol in protocols.items():
        sets = ", ".join(protocol.get("sets", {})) or "the last round's held-out images"
        summary = protocol.get("definition", "Mean IoU after clicks.").partition("\n")[0]
        yield from ("", f"{name}, on {sets}: {summary}", "", "| | |", "|---|---|")
        for key, value in protocol["mean"].items():
            if isinstance(value, int | float):
                yield f"| {key} | {f'{value:.3f}'.removesuffix('.000')} |"
