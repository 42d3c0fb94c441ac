"""Bad samples are no reason to stop; too many of them are."""

from pathlib import Path

FEWEST = 100  # samples of which a share is taken


class BadShare:
    """Ends a run that draws too many bad samples, repeated ones counted."""

    def __init__(self, max_share: float, *, listed_in: Path) -> None:
        self.max_share = max_share
        self.listed_in = listed_in
        self.used = self.bad = 0

    def add(self, *, used: int, bad: int) -> None:
        """Raises ValueError when the share passes its limit; a few samples are no share yet."""
        self.used += used
        self.bad += bad
        drawn = self.used + self.bad
        if drawn >= FEWEST and self.bad > self.max_share * drawn:
            raise ValueError(
                f"{self.bad} of {drawn} images drawn cannot be used, more than max_bad_share="
                f"{self.max_share}; {self.listed_in} says why: mend or leave out those shards."
            )
