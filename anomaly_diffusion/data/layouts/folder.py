"""A user's own photographs: one folder of good ones, any number of folders with defects, masks where there are any."""

import logging
from collections import defaultdict
from functools import cached_property
from pathlib import Path

from anomaly_diffusion.data.layouts.conventions import (
    children,
    files_below,
    image_files,
    is_image,
    is_mask_folder,
    is_normal,
    is_test_normal,
    may_be_normal,
    the_one,
)
from anomaly_diffusion.data.reading.notes import Note, ReadAs
from anomaly_diffusion.data.sample import AnomalyDataset, Sample
from anomaly_diffusion.data.split import held_out

__all__ = ["Folder", "Images"]

_log = logging.getLogger(__name__)


class Folder(AnomalyDataset):
    """Good photographs in one folder, each kind of defect in another, masks optional; sub-folders are read as well.

    What is not named is found by the names that people use: good, ok or normal for `normal`, good_test and the like
    for `test_normal`, masks, mask, ground_truth, gt or labels for `masks`, in any spelling.

    A mask has the name of its photograph, with or without `_mask`, in <masks>/<defect>/ or in <masks>/ itself.
    Without masks, defective photographs count for image figures only.

    Args:
        root: the folder that holds the others.
        normal: folder of good photographs; None: found by its name.
        defects: folders of defective ones; None: every other folder with images.
        masks: folder of masks; None: found by its name, if there is one; "": none, whatever is there.
        test_normal: folder of good photographs to test on; None: found by its name, or a fixed share of `normal`.
        test_share: that share, in (0, 1).
        white_level: value of a 16-bit photograph that is shown as white.
    """

    generality = 2

    def __init__(
        self,
        root: str | Path,
        normal: str | None = None,
        defects: list[str] | None = None,
        masks: str | None = None,
        test_normal: str | None = None,
        test_share: float = 0.2,
        white_level: int = 65535,
    ) -> None:
        super().__init__(root, white_level)
        if not 0 < test_share < 1:
            raise ValueError(f"`test_share` must lie in (0, 1), got {test_share}.")
        self.normal, self.defects, self.masks = normal, defects, masks
        self.test_normal, self.test_share = test_normal, test_share

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Always: what no other layout recognises is read so, or the user is told what is missing."""
        return True

    def train_samples(self) -> list[Sample]:
        """Return the good photographs that are not kept for testing.

        Raises:
            FileNotFoundError: if there are no images.
            ValueError: if it cannot be told which folder holds them.
        """
        return [Sample(path) for path in self._normals[0]]

    def test_samples(self) -> list[Sample]:
        """Return the good photographs kept for testing and all defective ones.

        Raises:
            FileNotFoundError: if a folder that is named has no images.
            ValueError: if a folder may hold good photographs as well as defective ones.
        """
        kinds = self._kinds() if self.defects is None else self.defects
        defective = [self._defective(path, kind) for kind in kinds for path in self._images(kind)]
        return [Sample(path) for path in self._normals[1]] + defective

    def notes(self) -> list[Note]:
        """Add which folders were found by their names."""
        found = {"good photographs": self._found_normal, "good photographs to test on": self._found_test_normal}
        found["masks"] = self._found_masks
        return super().notes() + [ReadAs(Path(name), what) for what, name in found.items() if name]

    @cached_property
    def _normals(self) -> tuple[list[Path], list[Path]]:
        """Good photographs to learn from, and to test on."""
        name = self.normal or self._found_normal
        if not name:
            raise FileNotFoundError(f"No images in a folder named good, ok or normal. {self._hint()}")
        normals, test_normal = self._images(name), self.test_normal or self._found_test_normal
        if test_normal:
            return normals, self._images(test_normal)
        names = {path.relative_to(self.folder).as_posix(): path for path in normals}
        kept = held_out(names, max(1, round(self.test_share * len(names))), "test", left=4)
        _log.info("%d of %d photographs in %s are kept for testing.", len(kept), len(names), name)
        return [path for name, path in names.items() if name not in kept], [names[name] for name in kept]

    @cached_property
    def _folders(self) -> list[str]:
        """Folders with images, masks among them, but for those that an argument names."""
        named = {Path(name).parts[0] for name in (self.normal, self.masks, self.test_normal) if name}
        return [
            path.name
            for path in children(self.folder)
            if path.name not in named and path.is_dir() and any(map(is_image, files_below(path)))
        ]

    @cached_property
    def _found_normal(self) -> str | None:
        names = list(filter(is_normal, self._folders))
        return the_one(names, "the good photographs", "normal") if self.normal is None else None

    @cached_property
    def _found_test_normal(self) -> str | None:
        names = list(filter(is_test_normal, self._folders))
        return the_one(names, "good photographs to test on", "test_normal") if self.test_normal is None else None

    @cached_property
    def _found_masks(self) -> str | None:
        names = list(filter(is_mask_folder, self._folders))
        return the_one(names, "the masks", "masks") if self.masks is None else None

    def _kinds(self) -> list[str]:
        taken = {self._found_normal, self._found_test_normal}
        kinds = [name for name in self._folders if name not in taken and not is_mask_folder(name)]
        for kind in kinds:
            self._refuse_normals(kind)
        return kinds

    def _refuse_normals(self, kind: str) -> None:
        """Nobody who names a folder `good_old` means a kind of defect."""
        places = {path.parent.relative_to(self.folder) for path in self._images(kind)}
        doubtful = [place for place in sorted(places) if any(map(may_be_normal, place.parts))]
        if doubtful:
            rule = "`defects` must list the folders of defective photographs, or `normal` and `test_normal` the others"
            raise ValueError(f"{rule}, as {self.folder / doubtful[0]} may hold good ones, going by its name.")

    def _images(self, name: str) -> list[Path]:
        found = image_files(self.folder / name)
        if not found:
            raise FileNotFoundError(f"No images in {self.folder / name}. {self._hint()}")
        return found

    def _hint(self) -> str:
        below = ", ".join(path.name for path in children(self.folder) if path.is_dir())
        return f"`normal`, `defects` and `test_normal` name folders in {self.folder}: {below or 'it has none'}."

    def _defective(self, path: Path, kind: str) -> Sample:
        return Sample(path, True, self._mask(path, kind), Path(kind).name)

    def _mask(self, path: Path, kind: str) -> Path | None:
        """Return the mask of a photograph, or where it is expected, or None if there are no masks at all."""
        masks = self._mask_folder
        if masks is None:
            return None
        name = path.relative_to(self.folder / kind).with_suffix("")
        places = [masks / place / name for place in (Path(kind).name, "")]
        stems = [place.with_name(f"{name.name}{ending}") for place in places for ending in ("_mask", "")]
        found = [mask for stem in stems for mask in self._mask_files[stem]]
        same_format = [mask for mask in found if mask.suffix.lower() == path.suffix.lower()]
        return next(iter(same_format or found), stems[1].with_name(f"{name.name}.png"))

    @cached_property
    def _mask_folder(self) -> Path | None:
        name = self._found_masks if self.masks is None else self.masks
        return self.folder / name if name else None

    @cached_property
    def _mask_files(self) -> dict[Path, list[Path]]:
        """Images below the folder of masks by their path without an ending."""
        files: dict[Path, list[Path]] = defaultdict(list)
        for path in files_below(self._mask_folder) if self._mask_folder else []:
            if is_image(path):
                files[path.with_suffix("")].append(path)
        return files


class Images(AnomalyDataset):
    """A folder of photographs about which nothing is known, for `predict`; sub-folders are read, but for masks.

    Args:
        root: the folder.
        white_level: value of a 16-bit photograph that is shown as white.
    """

    def train_samples(self) -> list[Sample]:
        """Return nothing.

        Raises:
            ValueError: always, as unknown photographs may be defective.
        """
        raise ValueError("Images is for `predict` only. To learn from good photographs use Folder or MVTecAD.")

    def test_samples(self) -> list[Sample]:
        """Return every image of the folder.

        Raises:
            FileNotFoundError: if there are none.
        """
        found = image_files(self.folder)
        if not found:
            raise FileNotFoundError(f"No images in {self.folder}.")
        return [Sample(path, kind="unknown") for path in found]
