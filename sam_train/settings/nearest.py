"""What somebody may have meant by a name that there is not."""

from collections.abc import Collection
from difflib import SequenceMatcher

MOST = 3  # of the nearest names
ALIKE = 0.62  # of 1; below it another name is meant
MANY = 12  # names in a sentence


def did_you_mean(name: str, known: Collection[str], place: str = "") -> str:
    """The nearest names, each as a key below `place`; all of them if none is near and they are few.

    "did you mean model.image_size?"
    """
    prefix = f"{place}." if place else ""
    if near := nearest(name, known):
        return f"did you mean {' or '.join(prefix + each for each in near)}?"
    if not known:
        return "it takes none"
    shown = sorted(known)[:MANY]
    more = f" and {len(known) - MANY} more" if len(known) > MANY else ""
    return f"there are {', '.join(shown)}{more}"


def nearest(name: str, known: Collection[str]) -> list[str]:
    """The names that are alike, the most alike first; one that is clearly nearest stays alone."""
    rated = sorted((-likeness(name, each), each) for each in set(known))
    best = -rated[0][0] if rated else 0.0
    return [each for rate, each in rated[:MOST] if -rate >= max(ALIKE, best - 0.1)]


def likeness(name: str, other: str) -> float:
    """How alike two keys are, 1 for equal ones; what stands before the last dot may be left out."""
    name, other = name.lower(), other.lower()
    (above, _, leaf), (other_above, _, other_leaf) = name.rpartition("."), other.rpartition(".")
    alike = 0.9 if is_part(leaf, other_leaf) else SequenceMatcher(None, leaf, other_leaf).ratio()
    if not above:
        return alike * (0.98 if other_above else 1.0) - 0.001 * other.count(".")
    return alike * (0.6 + 0.4 * SequenceMatcher(None, above, other_above).ratio())


def is_part(name: str, other: str) -> bool:
    """Whether a name is the first or the last word of another: `depth` of `decoder_depth`."""
    return len(name) > 2 and (other.startswith(f"{name}_") or other.endswith(f"_{name}"))
