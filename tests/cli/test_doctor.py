import cv2
import numpy as np
import pytest

from anomaly_diffusion.cli import doctor


@pytest.fixture
def photographs(tmp_path):
    """Six good photographs and two with a dent, one of them with a mask."""
    generator = np.random.default_rng(0)
    for name in [*(f"good/{number}.png" for number in range(6)), "dent/0.png", "dent/1.png", "masks/dent/0.png"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lowest = 255 if "masks" in name else 1
        cv2.imwrite(str(path), generator.integers(lowest, 256, (20, 30), dtype=np.uint8))
    return tmp_path


def test_a_bad_file_makes_the_status_one_and_is_named(photographs, capsys):
    assert doctor.main([str(photographs)]) == 1
    printed = capsys.readouterr().out
    assert "1 bad file" in printed
    assert "masks/dent/1.png: mask is missing; add it, or delete the photograph" in printed


def test_a_sound_folder_makes_the_status_zero_and_is_described(photographs, capsys):
    (photographs / "dent/1.png").unlink()
    assert doctor.main([str(photographs)]) == 0
    printed = capsys.readouterr().out
    for fact in ("read as Folder", "train", "dent", "20 x 30", "100.000%", "No bad file"):
        assert fact in printed


def test_folders_can_be_named(photographs, capsys):
    assert doctor.main([str(photographs), "--normal", "good", "--defects", "dent", "--masks", ""]) == 0
    assert "none: image figures only" in capsys.readouterr().out


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        doctor.main([str(tmp_path / "nowhere")])
