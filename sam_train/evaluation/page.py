"""HTML pages that stand alone: templates filled, pictures as text in the page itself."""

import base64
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_page(template: str, *, folder: Path | None = None, **content: object) -> str:
    """Fills a template of this folder, or of `folder`, which may build on those here."""
    folders = [path for path in (folder, Path(__file__).parent) if path is not None]
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def with_pictures(examples: Sequence[dict], folder: Path) -> list[dict]:
    """The examples of `click_examples` with every file name replaced by its picture."""
    return [
        example
        | {
            "truth": picture_uri(folder / example["truth"]),
            "predictions": [
                prediction | {"file": picture_uri(folder / prediction["file"])}
                for prediction in example["predictions"]
            ],
        }
        for example in examples
    ]


def picture_uri(path: Path) -> str:
    """A JPEG file as text that stands in the page itself."""
    return jpeg_uri(path.read_bytes())


def jpeg_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def machine() -> str:
    """The processor, the accelerator if there is one, and the versions that matter."""
    import torch  # here: not every page has use for it

    devices = [f"{os.cpu_count()} CPU cores ({platform.machine()})"]
    if torch.cuda.is_available():
        devices.append(torch.cuda.get_device_name())
    return f"{', '.join(devices)}; Python {platform.python_version()}, torch {torch.__version__}"
