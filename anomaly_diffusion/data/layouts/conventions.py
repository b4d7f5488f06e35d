"""Naming conventions of all layouts: image extensions, hidden files, folders of good photographs and of masks."""

import mimetypes
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

__all__ = [
    "GOOD",
    "children",
    "files_below",
    "image_files",
    "is_image",
    "is_mask_folder",
    "is_normal",
    "is_test_normal",
    "kind_folders",
    "looks_like_an_image",
    "may_be_normal",
    "normal_folder",
    "splits_below",
    "the_one",
]

GOOD = "good"
_MASKS = {"mask", "masks", "groundtruth", "gt", "label", "labels"}
_NORMAL = {"good", "ok", "okay", "normal", "normals", "nominal", "healthy"}
_TRAIN, _TEST = {"train", "training"}, {"test", "testing"}
_NOT = {"not", "no", "non", "bad"}
_SYSTEM = {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"}  # what macOS, network disks and Windows leave behind
_UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "IM", "IPTC", "MPEG", "WMF"}  # for which Pillow needs help, or will end


@cache
def extensions() -> frozenset[str]:
    """Return the endings of all image formats that Pillow reads, with their dot, in small letters."""
    from PIL import Image

    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(ending for ending, kind in known if kind in Image.OPEN and kind not in _UNREAD)


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name."""
    return path.suffix.lower() in extensions()


def looks_like_an_image(path: Path) -> bool:
    """Whether a file is an image by its name, of a kind that is read or not, as HEIC and raw files are not."""
    return is_image(path) or (mimetypes.guess_type(path.name)[0] or "").startswith("image/")


def children(folder: Path) -> list[Path]:
    """Return what is in a folder by name, but for what is hidden or left there by a system; nothing if it is none."""
    return sorted(path for path in folder.iterdir() if not _is_hidden(path.name)) if folder.is_dir() else []


def files_below(folder: Path, enter: Callable[[str], bool] = lambda name: True) -> list[Path]:
    """Return the files of a folder and of its sub-folders by path, hidden ones left out.

    Args:
        folder: where to begin.
        enter: whether to go into a sub-folder of that name.
    """
    return sorted(_below(folder, enter, ()))


def image_files(folder: Path) -> list[Path]:
    """Return the image files of a folder and of its sub-folders by path, but for folders of masks among them."""
    return [path for path in files_below(folder, lambda name: not is_mask_folder(name)) if is_image(path)]


def is_mask_folder(name: str) -> bool:
    """Whether a folder of this name holds masks: masks, mask, ground_truth, gt or labels, however it is written."""
    return re.sub(r"[^a-z]", "", name.casefold()) in _MASKS


def is_normal(name: str) -> bool:
    """Whether a folder of this name holds good photographs: good, Good, OK, normal or train_good, for example."""
    words = _words(name)
    return bool(words & _NORMAL) and words <= _NORMAL | _TRAIN


def is_test_normal(name: str) -> bool:
    """Whether a folder of this name holds good photographs to test on: good_test or test_ok, for example."""
    words = _words(name)
    return bool(words & _NORMAL) and bool(words & _TEST) and words <= _NORMAL | _TEST


def may_be_normal(name: str) -> bool:
    """Whether a folder of this name may hold good photographs, so that it must not pass for a kind of defect."""
    words = _words(name)
    return bool(words & _NORMAL) and not words & _NOT


def the_one(names: list[str], what: str, argument: str) -> str | None:
    """Return the only name there is, or None where there is none.

    Raises:
        ValueError: if there are several; it names the argument that says which.
    """
    if len(names) > 1:
        raise ValueError(f"`{argument}` must say which folder holds {what}, as {' and '.join(names)} all may.")
    return names[0] if names else None


def normal_folder(parent: Path) -> Path:
    """Return the folder of good photographs in another, <parent>/good where there is none.

    Raises:
        ValueError: if there are several.
    """
    names = [path.name for path in children(parent) if path.is_dir() and is_normal(path.name)]
    if len(names) > 1:
        raise ValueError(f"One folder in {parent} must hold the good photographs, got {', '.join(names)}. Join them.")
    return parent / (names[0] if names else GOOD)


def kind_folders(test: Path) -> list[Path]:
    """Return the folders of test photographs, good ones and those of each kind of defect, but none of masks.

    Raises:
        ValueError: if the name of one says that it may be good, but not clearly.
    """
    folders = [path for path in children(test) if path.is_dir() and not is_mask_folder(path.name)]
    for path in folders:
        if may_be_normal(path.name) and not is_normal(path.name) and not is_test_normal(path.name):
            raise ValueError(f"{path} may hold good photographs, going by its name. Call it {GOOD}, or not so at all.")
    return folders


def splits_below(root: Path) -> list[str]:
    """Return the folders in another that hold good photographs for training in <folder>/train."""
    return [path.name for path in children(root) if path.is_dir() and normal_folder(path / "train").is_dir()]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM


def _below(folder: Path, enter: Callable[[str], bool], above: tuple[Path, ...]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:  # a link that leads back
        return
    for path in children(folder):
        if not path.is_dir():
            yield path
        elif enter(path.name):
            yield from _below(path, enter, (*above, real))


def _words(name: str) -> set[str]:
    """Return the words of a name in small letters: those of "GoodTest_2" are good and test."""
    return {word.casefold() for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+", name)}
