"""Warnings and remarks about readable files (soft masks, 16 bit, left out), collected and logged once per kind."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

__all__ = [
    "Colour",
    "FaintMask",
    "LargeMask",
    "LeftOut",
    "LeftOutImage",
    "Note",
    "ReadAs",
    "SoftMask",
    "Told",
    "note",
    "noting",
    "tell",
]

_SHOWN = 20
_BITS = 8, 10, 12, 14  # of which cameras fill files of 16 bits


@dataclass(frozen=True)
class Note:
    """Something about one file; subclasses say what, and tell it for all files at once.

    Attributes:
        path: the file.
        warns: whether it may spoil a result, or is only good to know.
    """

    path: Path
    warns: ClassVar[bool] = True

    @classmethod
    def tell(cls, notes: Sequence["Note"]) -> str:
        """Return a sentence about all files of this note, or nothing where it does not matter."""
        raise NotImplementedError


@dataclass(frozen=True)
class SoftMask(Note):
    """How a mask was read.

    Attributes:
        soft: whether its grey levels are shades of one mark, not labels.
    """

    soft: bool
    warns: ClassVar[bool] = False

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Say which rule how many masks needed."""
        soft = sum(isinstance(one, SoftMask) and one.soft for one in notes)
        parts = [f"{len(notes) - soft} with few values, of which every one but 0 marks a defect"] * (soft < len(notes))
        parts += [f"{soft} with many grey levels, of which half of the maximum decides"] * (soft > 0)
        return f"masks: {'; '.join(parts)}."


@dataclass(frozen=True)
class FaintMask(Note):
    """A mask whose labels are as faint as the noise of the format that it is stored in."""

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Name them."""
        return f"{_masks(notes)} JPEG files with labels as faint as the format's noise; save as PNG: {_listed(notes)}."


@dataclass(frozen=True)
class LargeMask(Note):
    """A mask that marks more than half of its photograph."""

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Name them."""
        what = "marks more than half of its photograph" if len(notes) == 1 else "mark more than half of a photograph"
        return f"{len(notes)} mask{_s(notes)} {what}; was the background marked? {_listed(notes)}."


@dataclass(frozen=True)
class Colour(Note):
    """Whether a photograph is grey to the eye.

    Attributes:
        grey: whether it is.
    """

    grey: bool

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Name the fewer ones where there are both."""
        grey = [one for one in notes if isinstance(one, Colour) and one.grey]
        coloured = [one for one in notes if isinstance(one, Colour) and not one.grey]
        if not grey or not coloured:
            return ""
        kind, few = ("grey", grey) if len(grey) <= len(coloured) else ("coloured", coloured)
        counts = f"{len(grey)} photograph{_s(grey)} grey, {len(coloured)} coloured"
        return f"{counts}: all are converted to `channels`, but a detector may learn the kind; {kind}: {_listed(few)}."


@dataclass(frozen=True)
class Turned(Note):
    """A photograph that is stored in another way than it is to be seen."""

    warns: ClassVar[bool] = False

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Count them."""
        return f"{len(notes)} photograph{_s(notes)} turned, as the orientation tag says, and as viewers do."


@dataclass(frozen=True)
class Deep(Note):
    """A photograph of 16 bits.

    Attributes:
        brightest: its largest value.
        white_level: the value that was taken for white.
    """

    brightest: int
    white_level: int

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Say so where all values would fit into fewer bits, as those of most cameras do, or where some are cut."""
        deep = [one for one in notes if isinstance(one, Deep)]
        brightest, white = max(one.brightest for one in deep), max(one.white_level for one in deep)
        files = f"{len(deep)} photograph{_s(deep)} of 16 bits: brightest value {brightest}"
        if brightest > white:
            return f"{files}, above `white_level {white}`, so what is brighter than that is all white."
        fit = next((2**bits - 1 for bits in _BITS if brightest < 2**bits), white)
        if white < 65535 or fit == white:  # who has set a level may know a camera that is brighter than its photographs
            return ""
        return f"{files} of {white}, so few grey levels are left: set `white_level {fit}`."


@dataclass(frozen=True)
class Pages(Note):
    """An image file that holds several pictures.

    Attributes:
        pages: how many.
    """

    pages: int

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Name them."""
        return f"{len(notes)} file{_s(notes)} with several pages, of which page 1 is used: {_listed(notes)}."


@dataclass(frozen=True)
class LeftOut(Note):
    """A file of the data set's folder that is no image."""

    warns: ClassVar[bool] = False

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Count and name them."""
        return f"{len(notes)} file{_s(notes)} left out, being no image{_s(notes)}: {_listed(notes)}."


@dataclass(frozen=True)
class LeftOutImage(Note):
    """An image that nobody looks at, for its place or its format."""

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Count and name them."""
        return f"{len(notes)} image{_s(notes)} left out, for the folder or the format: {_listed(notes)}."


@dataclass(frozen=True)
class ReadAs(Note):
    """A folder that was found by its name.

    Attributes:
        what: what its images are taken for.
    """

    what: str
    warns: ClassVar[bool] = False

    @classmethod
    def tell(cls, notes: Sequence[Note]) -> str:
        """Name all of them."""
        return f"read as {', '.join(f'{one.what}: {one.path}/' for one in notes if isinstance(one, ReadAs))}."


@dataclass(frozen=True)
class Told:
    """A sentence for the user.

    Attributes:
        text: the sentence.
        warns: whether it is a warning.
    """

    text: str
    warns: bool


_notes: ContextVar[list[Note] | None] = ContextVar("notes", default=None)


def note(one: Note) -> None:
    """Add a note to the list of the enclosing `noting`, if there is one."""
    notes = _notes.get()
    if notes is not None:
        notes.append(one)


@contextmanager
def noting(notes: list[Note]) -> Iterator[None]:
    """Collect in `notes` what `note` is given in this thread within the context."""
    token = _notes.set(notes)
    try:
        yield
    finally:
        _notes.reset(token)


def tell(notes: Iterable[Note]) -> list[Told]:
    """Return what is to be said about some files, each kind of note in one sentence, warnings first."""
    kinds: dict[type[Note], dict[Note, None]] = {}
    for one in sorted(notes, key=lambda one: str(one.path)):
        kinds.setdefault(type(one), {})[one] = None
    told = [Told(kind.tell(list(some)), kind.warns) for kind, some in kinds.items()]
    return sorted((one for one in told if one.text), key=lambda one: (not one.warns, one.text))


def _listed(notes: Sequence[Note]) -> str:
    more = [f"and {len(notes) - _SHOWN} more"] * (len(notes) > _SHOWN)
    return ", ".join([str(one.path) for one in notes[:_SHOWN]] + more)


def _masks(notes: Sequence[Note]) -> str:
    return "1 mask is among" if len(notes) == 1 else f"{len(notes)} masks are"


def _s(notes: Sequence[Note]) -> str:
    return "s" * (len(notes) > 1)
