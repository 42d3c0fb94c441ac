"""Where the rounds stand in which people were asked, from the folder of a run alone."""

from collections.abc import Iterator
from pathlib import Path

FOLDER = "people"  # within that of a round
ASKED = "asked.json"  # written last: all tasks of the round are in the store


def standing(run_dir: Path) -> Iterator[str]:
    """A line for every round of a run in which people were asked."""
    for path in sorted(run_dir.glob(f"rounds/*/{FOLDER}/{ASKED}")):
        # Imported here: who has asked nobody may not have the server's packages.
        from data_engine.people.tasks.store import Store

        store = Store(path.with_name("people.sqlite"))
        counts = {name: count for name, count in store.counts().items() if count}
        store.close()
        each = ", ".join(f"{count} {name}" for name, count in counts.items())
        yield f"people: {path.parent.parent.name}, images {each}"
