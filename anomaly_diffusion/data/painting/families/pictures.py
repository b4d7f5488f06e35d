"""The images of a folder that a family of defects is made of."""

from pathlib import Path

from anomaly_diffusion.data.layouts.conventions import image_files

__all__ = ["pictures"]


def pictures(folder: Path, what: str) -> list[Path]:
    """Return the image files of a folder and of those below it.

    Raises:
        ValueError: if there is no such folder, or no image in it.
    """
    found = image_files(Path(folder))
    if not found:
        missing = "holds no image" if Path(folder).is_dir() else "is no folder"
        raise ValueError(
            f"`folder` of {what} to paint {missing}, got {folder}. Give one with PNG or other image files."
        )
    return found
