"""Whether a config has the keys and the types of its constructors; nothing of them is imported."""

import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from sam_train.settings.nearest import did_you_mean, nearest
from sam_train.settings.signatures import Signature, signature_of

INSTANTIATE_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_"}
SCALARS: dict[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str,),
    dict: (dict,),
    type(None): (type(None),),
}


def check_types(config: Any, key: str = "") -> None:
    """Raises a ValueError that names the first key that is none, or value of a wrong type.

    `config` is a plain container; its nodes with `_target_` are checked, at any depth.
    """
    if isinstance(config, Mapping):
        if "_target_" in config and (signature := signature_of_node(config)):
            check_keys(config, signature, key)
            check_values(config, signature.hints, key)
        for name, value in config.items():
            check_types(value, f"{key}.{name}" if key else str(name))
    elif isinstance(config, list):
        for number, value in enumerate(config):
            check_types(value, f"{key}.{number}")


def check_values(values: Mapping[str, Any], hints: Mapping[str, Any], key: str = "") -> None:
    """Raises a ValueError for the first value that its annotation does not allow."""
    for name, hint in hints.items():
        if name in values and not fits(values[name], hint):
            named, value = f"{key}.{name}" if key else name, values[name]
            raise ValueError(f"{named} is {value!r}, but must be {allowed(hint, value)}")


def allowed(hint: Any, value: Any) -> str:
    """A type in words; of many choices those that are near the value."""
    literals = [choice for member in members(hint) for choice in choices(member)]
    kinds = [inspect.formatannotation(each) for each in members(hint) if not choices(each)]
    named = [repr(each) for each in literals]
    if near := nearest(str(value), [each for each in literals if isinstance(each, str)]):
        return f"another: did you mean {' or '.join(near)}?"
    return " or ".join(["null" if kind == "NoneType" else kind for kind in [*kinds, *named]])


def members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def check_lowest(values: Mapping[str, Any], lowest: Mapping[str, int], key: str = "") -> None:
    """Raises a ValueError for the first number that is below its lowest one; null passes."""
    for name, least in lowest.items():
        value = values.get(name)
        if value is not None and value < least:
            raise ValueError(
                f"{key}{'.' if key else ''}{name} is {value}, but must be at least {least}"
            )


def check_keys(node: Mapping[str, Any], signature: Signature, key: str = "") -> None:
    """Raises a ValueError for the first key that a node's target does not take."""
    for name in node:
        if not (signature.takes_any or name in signature.hints or name in INSTANTIATE_KEYS):
            known = signature.hints.keys() - node.keys() or signature.hints.keys()
            raise ValueError(
                f"{key or node['_target_']} takes no {name}: {did_you_mean(name, known, key)}"
            )


def signature_of_node(node: Mapping[str, Any]) -> Signature | None:
    """What a node's target takes; its **arguments are those of the partial parts of the node."""
    signature = signature_of(node["_target_"])
    if signature is None or not signature.takes_any:
        return signature
    parts = [part for part in node.values() if isinstance(part, Mapping) and "_partial_" in part]
    inner = [signature_of_node(part) for part in parts]
    hints = {name: hint for part in inner if part for name, hint in part.hints.items()}
    return Signature({**hints, **signature.hints}, takes_any=not all(inner) or not inner)


def fits(value: Any, hint: Any) -> bool:
    """Whether an annotation allows a value; all but scalars, literals and lists of them pass."""
    if len(members(hint)) > 1:
        return any(fits(value, member) for member in members(hint))
    if choices(hint):
        return value in choices(hint)
    if get_origin(hint) in (list, Sequence):
        return isinstance(value, list) and all(fits(item, get_args(hint)[0]) for item in value)
    if isinstance(value, bool) and hint in (int, float):
        return False
    return not (inspect.isclass(hint) and hint in SCALARS) or isinstance(value, SCALARS[hint])
