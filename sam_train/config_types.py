"""Whether the values of a config have the types that its constructors are annotated with."""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object

SCALARS: dict[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str,),
    dict: (dict,),
    type(None): (type(None),),
}


def check_types(config: Any, key: str = "") -> None:
    """Raises a ValueError that names the first number, flag or text of a wrong type.

    `config` is a plain container; its nodes with `_target_` are checked, at any depth.
    """
    if isinstance(config, Mapping):
        if "_target_" in config:
            check_values(config, hints_of(config), key)
        for name, value in config.items():
            check_types(value, f"{key}.{name}" if key else str(name))
    elif isinstance(config, list):
        for number, value in enumerate(config):
            check_types(value, f"{key}.{number}")


def check_values(values: Mapping[str, Any], hints: Mapping[str, Any], key: str = "") -> None:
    """Raises a ValueError for the first value that its annotation does not allow."""
    for name, hint in hints.items():
        if name in values and not fits(values[name], hint):
            raise ValueError(
                f"{key}{'.' if key else ''}{name} is {values[name]!r}, but must be "
                f"{inspect.formatannotation(hint)}"
            )


def check_lowest(values: Mapping[str, Any], lowest: Mapping[str, int], key: str = "") -> None:
    """Raises a ValueError for the first number that is below its lowest one; null passes."""
    for name, least in lowest.items():
        value = values.get(name)
        if value is not None and value < least:
            raise ValueError(
                f"{key}{'.' if key else ''}{name} is {value}, but must be at least {least}"
            )


def hints_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations of a node's target; what it takes as **arguments goes to its partial parts.

    Empty for code without annotations that can be read.
    """
    try:
        target: Callable[..., Any] = get_object(node["_target_"])
        parameters = inspect.signature(target).parameters.values()
        hints = get_type_hints(
            inspect.getattr_static(target, "__init__") if inspect.isclass(target) else target
        )
    except (TypeError, ValueError, NameError):
        return {}
    inner: dict[str, Any] = {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        for part in node.values():
            if isinstance(part, Mapping) and part.get("_partial_"):
                inner |= hints_of(part)
    return inner | {p.name: hints[p.name] for p in parameters if p.name in hints}


def fits(value: Any, hint: Any) -> bool:
    """Whether an annotation allows a value; all but scalars, literals and lists of them pass."""
    if get_origin(hint) in (Union, types.UnionType):
        return any(fits(value, member) for member in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (list, Sequence):
        return isinstance(value, list) and all(fits(item, get_args(hint)[0]) for item in value)
    if isinstance(value, bool) and hint in (int, float):
        return False
    return not (inspect.isclass(hint) and hint in SCALARS) or isinstance(value, SCALARS[hint])
