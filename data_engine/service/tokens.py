"""Who may annotate: a secret token for each name, in a folder that only its owner reads."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from data_engine.run_folder import read_json, write_json
from sam_train.data.sets.image_folder import safe_key

DAY_S = 86_400.0


class Unknown(ValueError):
    """The request carries no token, a wrong one, or one that has expired."""


class Tokens:
    """The tokens of the annotators named at start; whoever is not named has none.

    Each is kept over restarts and replaced when it has expired, `days` after it was made.
    """

    def __init__(
        self, folder: Path, annotators: Sequence[str], *, days: float, clock: Callable[[], float]
    ) -> None:
        for name in annotators:
            if not name or safe_key(name) != name:
                raise ValueError(f"the annotator {name!r} needs a name of letters, digits, - and _")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        path, now = folder / "tokens.json", clock()
        known = read_json(path) if path.exists() else {}
        self._clock = clock
        self._entries: dict[str, dict] = {
            name: known[name]
            if name in known and known[name]["expires"] > now
            else {"token": secrets.token_urlsafe(24), "expires": now + days * DAY_S}
            for name in dict.fromkeys(annotators)
        }
        write_json(path, self._entries)
        # Looked up by hash: how long that takes tells nothing about a token.
        self._names = {_digest(entry["token"]): name for name, entry in self._entries.items()}

    def token_of(self, annotator: str) -> str:
        return self._entries[annotator]["token"]

    def annotator_of(self, token: str) -> str:
        """The annotator whose token this is; Unknown if it is nobody's any more."""
        name = self._names.get(_digest(token))
        if name is None:
            raise Unknown("this link is not known: open the one that the server printed for you")
        if self._entries[name]["expires"] <= self._clock():
            raise Unknown(
                f"the link of {name} has expired: a restart of the server makes a new one"
            )
        return name


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
