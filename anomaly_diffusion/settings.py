"""What an object was made with, defaults included: the settings to which a calibration belongs."""

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any, ClassVar, TypeVar

__all__ = ["Configured", "canonical", "fingerprint"]


_UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)  # those of nn.Module, and of object
_NOTHING = object()
_Made = TypeVar("_Made", bound="Configured")


class Configured:
    """Remembers the arguments of its constructor, whether a config or a line of Python gave them.

    They are what a config calls `init_args`, resolved: attributes may be renamed without changing them. An argument
    that is renamed keeps its name in the record by a line in `names_before`.
    """

    ignored: ClassVar[frozenset[str]] = frozenset()
    """Arguments on which no residual depends once weights are known, such as the file they come from."""

    names_before: ClassVar[Mapping[str, str]] = {}
    """What the record calls a renamed argument, or under "class" a renamed class: its first name."""

    added: ClassVar[Mapping[str, Any]] = {}
    """Arguments that came later, with the value that leaves all as it was: the record leaves them out at that value."""

    infinite: ClassVar[frozenset[str]] = frozenset()
    """Arguments to which infinity means something; all other numbers must be finite."""

    most: ClassVar[Mapping[str, float]] = {}
    """Upper bounds, by the names of arguments: beyond them nothing is gained, but time or memory lost."""

    _given: dict[str, Any]

    def __new__(cls: type[_Made], *args: Any, **kwargs: Any) -> _Made:
        """Take down the arguments; those that do not fit are for the constructor to refuse.

        Raises:
            ValueError: a number is not finite, or larger than the most that it may be.
        """
        made: _Made = super().__new__(cls)
        with suppress(TypeError):
            signature = inspect.signature(cls.__init__)
            given = signature.bind_partial(made, *args, **kwargs)
            given.apply_defaults()
            named = [one.name for one in signature.parameters.values() if one.kind not in _UNNAMED][1:]
            known = {name: given.arguments[name] for name in named if name in given.arguments}
            object.__setattr__(made, "_given", known)  # a module or a frozen dataclass takes no attribute yet
            for name, value in known.items():
                _refuse(cls, name, value)
        return made

    @property
    def settings(self) -> dict[str, Any]:
        """Class and arguments as plain values, but those that are `ignored`."""
        name = self.names_before.get
        told = {key: _plain(value) for key, value in self._given.items() if key not in self.ignored}
        known = {name(key, key): value for key, value in told.items() if self.added.get(key, _NOTHING) != value}
        return {"class": name("class", type(self).__name__), **known}


def canonical(settings: Mapping[str, Any]) -> str:
    """Settings as JSON that does not depend on the order of keys."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def fingerprint(text: str) -> str:
    """16 hexadecimal digits that two texts share only if they are equal."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    """Values of JSON; 1 and 1.0 are the same, tuples are lists.

    Raises:
        TypeError: `value` does not know its settings.
    """
    if isinstance(value, Configured):
        return value.settings
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return int(value) if float(value).is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {"class": type(value).__name__, **{one.name: _plain(getattr(value, one.name)) for one in fields(value)}}
    raise TypeError(f"`{type(value).__name__}` must derive from `Configured`: a calibration depends on its settings.")


def _refuse(cls: type[Configured], name: str, value: Any) -> None:
    """Refuse a number, or a list of them, that is not finite or larger than it may be."""
    for number in value if isinstance(value, list | tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number) and name not in cls.infinite:
            raise ValueError(f"`{name}` must be finite, got {number}.")
        if isinstance(number, int | float) and number > cls.most.get(name, math.inf):
            raise ValueError(f"`{name}` must be at most {cls.most[name]}, got {number}.")
