"""The images of a dataset version as files, beside a json or xml that names them."""

from pathlib import Path

from sam_train.data.records import Sample
from sam_train.data.store.durable import durable_file


def write_image(sample: Sample, folder: Path | None) -> None:
    """Writes FOLDER/KEY.jpg, if there is a folder."""
    if folder is not None:
        with durable_file(folder.expanduser() / f"{sample.key}.jpg") as file:
            file.write(sample.image_bytes)
