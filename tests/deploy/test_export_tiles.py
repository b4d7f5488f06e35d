"""A file of a run with tiles says what the run says, of photographs of any size, or of one where positions count."""

import importlib.util

import cv2
import numpy as np
import pytest
from commands import unchanged_process
from exported import FEATURES, ONE_EPOCH, check_alike, export
from small_run import NARROW, SMALL_RUN
from without_torch import in_a_process_without

import anomaly_diffusion
from anomaly_diffusion.api import train
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.runtime import ExportedInspector, OnnxEngine, OpenVINOEngine
from anomaly_diffusion.runtime import inspector as judging

pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `runtime` is not installed")

ANY_SIZE = "{size: [32, 32], overlap: 16}"
STRETCHED = "{size: [32, 32], overlap: 16, frame: [60, 80]}"
RESIDUALS = ["L1Residual", "SSIMResidual", "GradientSimilarityResidual"]


def nearest(of_reconstruction):
    """The denoiser's activations beside the nearest of normal photographs; few components, as little was learnt."""
    judge = {"class_path": "NearestResidual", "init_args": {"context": 0, "at_most": 64}}
    chosen = {"components": 4, "judge": judge, "of_reconstruction": of_reconstruction}
    return {"class_path": "ActivationResidual", "init_args": chosen}


PADIM = ONE_EPOCH | {"model.init_args.features": FEATURES, "model.init_args.channels": 6}
KINDS = {
    "patchcore": ONE_EPOCH
    | {"model.init_args.features": FEATURES, "model.init_args.memory.share": 0.2, "data.tiles": ANY_SIZE},
    "pixel": NARROW
    | {
        "model.init_args.backbone.init_args.coordinates": True,
        "model.init_args.scoring": {"residuals": RESIDUALS, "calibration_sigma": None},
        "data.tiles": ANY_SIZE,
    },
    "pixel-activations": NARROW
    | {
        "model.init_args.backbone.init_args.coordinates": True,
        "model.init_args.scoring": {
            "residuals": ["L1Residual", nearest(False), nearest(True)],
            "calibration_sigma": None,
        },
        "data.tiles": ANY_SIZE,
    },
    "padim": PADIM | {"data.tiles": STRETCHED},
    "feature": NARROW
    | {
        "model.init_args.features": FEATURES,
        "model.init_args.components": 8,
        "model.init_args.backbone.init_args.channels": 8,
        "data.tiles": STRETCHED,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of several sizes, the second with a white bar."""
    from skimage import data

    folder = tmp_path_factory.mktemp("exported")
    for number, (height, width) in enumerate([(64, 64), (150, 90), (40, 200), (20, 30)]):
        pixels = data.brick()[40 * number : 40 * number + height, 90 : 90 + width].copy()
        if number == 1:
            pixels[100:110, 10:70] = 255
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return folder


def trained(folder, name, settings):
    with unchanged_process():
        where = {"runs_dir": folder / "runs", "experiment": name}
        return train(f"model/{name.partition('-')[0]}.yaml", settings=SMALL_RUN | settings | where).folder


@pytest.fixture(scope="module")
def exported(folder):
    """From a kind of detector to its run, which holds its file; each is trained once."""
    known = {}

    def run(kind):
        if kind not in known:
            known[kind] = trained(folder, kind, KINDS[kind])
            assert export(known[kind]) == 0
        return known[kind]

    return run


def photographs(folder):
    return sorted(folder.glob("*.png"))


def check(inspector, run, folder):
    """The same of every photograph, and the same limits."""
    theirs = Inspector(run)
    for found, expected in zip(inspector(photographs(folder)), theirs(photographs(folder)), strict=True):
        check_alike(found, expected)
    assert inspector.limits == theirs.limits


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_the_run_says_whatever_the_size_and_the_tiles_at_once(folder, exported, kind):
    run = exported(kind)
    for size in (1, 4):
        check(ExportedInspector(run / "exported.onnx", batch_size=size), run, folder)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="the extra `openvino` is not installed")
def test_openvino_reads_the_same_file(folder, exported):
    run = exported("patchcore")
    check(ExportedInspector(OpenVINOEngine(run / "exported.onnx", threads=1)), run, folder)


@pytest.mark.slow
def test_a_program_of_torch_says_the_same(folder, exported):
    run = exported("patchcore")
    assert export(run, "--format", "torch") == 0
    check(anomaly_diffusion.Inspector(run / "exported.pt2"), run, folder)


@pytest.mark.slow
def test_a_file_judges_without_torch_and_shows_how_far_it_is(folder, exported, monkeypatch):
    path = exported("patchcore") / "exported.onnx"
    told = in_a_process_without(
        ("torch", "scipy", "pandas", "pytorch_lightning", "rich"),
        f"""
        from anomaly_diffusion.data import progress
        from anomaly_diffusion.runtime import ExportedInspector
        progress._SLOW = 0.0
        found = ExportedInspector({str(path)!r})({str(folder / "1.png")!r})
        print(found.score, found.map.shape)
        """,
    )
    seen = []
    monkeypatch.setattr(judging, "shown", lambda steps, total, task: seen.append((total, task)) or steps)
    found = ExportedInspector(path, batch_size=8)(folder / "1.png")
    assert told == f"{found.score} (150, 90)\n"
    assert seen == [(6, "Judging tiles")]  # of 9 x 5 tiles


@pytest.mark.slow
def test_no_more_than_one_part_of_the_graph_is_carried_out(exported):
    engine = OnnxEngine(exported("patchcore") / "exported.onnx")
    tiles, place = np.zeros((3, 32, 32, 3), np.uint8), np.zeros((3, 4), np.float32)
    features, nearest, distance = engine.of_tiles(tiles, place)
    assert features.shape[0] == nearest.shape[0] == distance.shape[0] == 3
    told = engine._model.run(None, {**engine._nothing, "tiles": tiles, "place": place, "judging": np.array(False)})
    assert [part.size > 1 for part in told] == [True] * 3 + [False] * 3


@pytest.mark.slow
def test_positions_of_no_known_size_are_refused_in_one_sentence(folder, capsys):
    run = trained(folder, "padim", PADIM | {"data.tiles": ANY_SIZE})
    assert export(run) == 1
    assert "give them one frame, `data.tiles.frame`" in capsys.readouterr().err
    assert not (run / "exported.onnx").exists()


@pytest.mark.slow
def test_a_calibration_by_position_judges_photographs_of_its_size_and_says_so(folder):
    settings = PADIM | {"data.tiles": ANY_SIZE, "model.init_args.scoring": {"calibration_sigma": 4.0}}
    residual = {"class_path": "PositionGaussian"}
    settings["model.init_args.scoring"]["residuals"] = [residual]
    run = trained(folder, "padim", settings)
    assert export(run) == 0
    inspector = ExportedInspector(run / "exported.onnx")
    check_alike(inspector(folder / "0.png"), Inspector(run)(folder / "0.png"))
    with pytest.raises(ValueError, match=r"knows positions of 64 x 64 pixels, got a photograph of 160 x 96"):
        inspector(folder / "1.png")
