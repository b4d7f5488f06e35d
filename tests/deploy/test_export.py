"""An exported file says what the run says of every photograph, in batches of any size, by every engine."""

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from commands import unchanged_process
from exported import AUTOENCODER, FEATURES, ONE_EPOCH, check_alike
from small_run import NARROW, SMALL_RUN
from without_torch import in_a_process_without

import anomaly_diffusion
from anomaly_diffusion.api import train
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.runs.record import RunRecord
from anomaly_diffusion.runtime import ExportedInspector, OnnxEngine, OpenVINOEngine
from anomaly_diffusion.runtime.description import Description

pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `runtime` is not installed")

SIDE = (32, 48)
SMALL = SMALL_RUN | {"data.image_size": SIDE, "data.loading.policy": "Letterbox"}
FEW = {"components": 8}  # of two steps of training, more would be but rounding, whitened
SCORING = {
    "residuals": [
        {"class_path": "L1Residual"},
        {"class_path": "SSIMResidual"},
        {"class_path": "GradientSimilarityResidual"},
        {"class_path": "ActivationResidual", "init_args": FEW},
        {"class_path": "ActivationResidual", "init_args": FEW | {"judge": {"class_path": "NearestResidual"}}},
    ],
    "calibration_sigma": 4.0,
}
KINDS = {
    "pixel": NARROW | {"model.init_args.scoring": SCORING},
    "scales": NARROW
    | {
        "model.init_args.scoring": SCORING | {"weights": "least_variance"},
        "model.init_args.scales": [1.0, 0.5],
        "data.loading.policy": "CenterCrop",
    },
    "latent": NARROW,  # on an autoencoder that is trained before
    "feature": NARROW | {"model.init_args.features": FEATURES, "model.init_args.components": 8},
    "padim": ONE_EPOCH | {"model.init_args.features": FEATURES, "model.init_args.channels": 6},
    "patchcore": ONE_EPOCH | {"model.init_args.features": FEATURES, "model.init_args.memory.share": 0.2},
}
FEATURE_SETTINGS = {"model.init_args.backbone.init_args.channels": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of several sizes, three of the texture, two with a white bar."""
    from skimage import data

    folder, brick = tmp_path_factory.mktemp("exported"), data.brick()
    for number, (height, width) in enumerate([(64, 64), (50, 80), (120, 40), (64, 64), (31, 97)]):
        pixels = brick[40 * number : 40 * number + height, 90 : 90 + width].copy()
        if number > 2:
            pixels[10:20, 10:50] = 255
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return folder


def autoencoder(folder):
    """A trained one: with weights of its own a run would have others when it is loaded."""
    settings = SMALL | {"model.init_args.autoencoder": AUTOENCODER, "model.init_args.crop": 16}
    made = train("model/autoencoder.yaml", settings=settings | {"runs_dir": folder / "runs", "experiment": "before"})
    return {**AUTOENCODER, "init_args": AUTOENCODER["init_args"] | {"weights": str(made.folder)}}


@pytest.fixture(scope="module")
def exported(folder):
    """From a kind of detector to its run, which holds its file; each is trained once."""
    known = {}

    def run(kind):
        if kind not in known:
            settings = SMALL | KINDS[kind] | (FEATURE_SETTINGS if kind == "feature" else {})
            with unchanged_process():
                settings |= {"runs_dir": folder / "runs", "experiment": kind}
                if kind == "latent":
                    settings["model.init_args.autoencoder"] = autoencoder(folder)
                known[kind] = train(f"model/{'pixel' if kind == 'scales' else kind}.yaml", settings=settings).folder
                assert main(["export", "--run_folder", str(known[kind])]) == 0
        return known[kind]

    return run


def photographs(folder):
    return sorted(folder.glob("*.png"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_the_run_says(folder, exported, kind):
    run = exported(kind)
    expected = Inspector(run)(photographs(folder))
    for size in (1, 4):
        inspector = ExportedInspector(run / "exported.onnx", batch_size=size)
        for found, theirs in zip(inspector(photographs(folder)), expected, strict=True):
            check_alike(found, theirs)
        assert inspector.limits == Inspector(run).limits


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="the extra `openvino` is not installed")
def test_openvino_reads_the_same_file(folder, exported):
    run = exported("pixel")
    inspector = ExportedInspector(OpenVINOEngine(run / "exported.onnx", threads=1))
    for found, expected in zip(inspector(photographs(folder)), Inspector(run)(photographs(folder)), strict=True):
        check_alike(found, expected)


@pytest.mark.slow
def test_a_program_of_torch_says_the_same(folder, exported):
    run = exported("pixel")
    with unchanged_process():
        assert main(["export", "--run_folder", str(run), "--format", "torch"]) == 0
    inspector = anomaly_diffusion.Inspector(run / "exported.pt2")
    for found, expected in zip(inspector(photographs(folder)), Inspector(run)(photographs(folder)), strict=True):
        check_alike(found, expected)


@pytest.mark.slow
def test_no_torch_is_imported_where_a_file_judges(folder, exported):
    path = exported("pixel") / "exported.onnx"
    told = in_a_process_without(
        ("torch", "scipy", "pandas", "pytorch_lightning"),
        f"""
        from anomaly_diffusion.runtime import ExportedInspector
        found = ExportedInspector({str(path)!r})({str(folder / "3.png")!r})
        print(found.score, found.map.shape, found.mask.sum(), len(found.regions), ascii(found.drift))
        """,
    )
    assert told.split()[0] == str(ExportedInspector(path)(folder / "3.png").score)


@pytest.mark.slow
def test_threads_share_a_file_and_another_rate_gives_another_limit(folder, exported):
    path = exported("pixel") / "exported.onnx"
    inspector = anomaly_diffusion.Inspector(path)
    assert isinstance(inspector, ExportedInspector)
    paths = photographs(folder) * 3
    alone = [inspector(one).score for one in paths]
    with ThreadPoolExecutor(4) as pool:
        assert [one.score for one in pool.map(inspector, paths)] == alone
    strict, loose = (ExportedInspector(path, false_alarms=rate) for rate in (0.2, 0.5))
    assert strict.limits["limit"] > loose.limits["limit"]
    with pytest.raises(ValueError, match=r'must be "cpu" for an exported file'):
        anomaly_diffusion.Inspector(path, device="cuda")


@pytest.mark.slow
def test_what_cannot_be_exported_is_refused_in_one_sentence(folder, exported, tmp_path, capsys):
    import yaml

    run = exported("pixel")
    other = tmp_path / "other"
    other.mkdir()
    (other / "checkpoints").symlink_to(run / "checkpoints")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"]["init_args"]["reconstruction"]["init_args"]["draws"] = 2
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    with unchanged_process():
        assert main(["export", "--run_folder", str(other)]) == 1
    said = capsys.readouterr().err
    assert "scores of normal photographs" in said or "draws noise" in said


@pytest.fixture
def typed(folder, monkeypatch, capsys):
    """`typed(word, ...)` is the exit status, standard output and standard error of a prediction."""
    monkeypatch.chdir(folder)

    def run(*words):
        capsys.readouterr()
        with unchanged_process():
            status = main(["predict", *map(str, words)])
        return status, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_predict_by_a_file_writes_what_it_writes_by_the_run(folder, exported, typed):
    run = exported("pixel")
    places = []
    for source in (run, run / "exported.onnx"):
        assert typed("--run_folder", source, *photographs(folder), "--masks", "--overlays")[0] == 0
        places.append(max(run.glob("evaluations/predict-*")))
    theirs, ours = (RunRecord(place) for place in places)
    assert ours.limits == theirs.limits
    for expected, found in zip(theirs.predictions, ours.predictions, strict=True):
        assert (found.path, found.word, found.label) == (expected.path, expected.word, None)
        for name in ("score", "map_max", "map_mean", "map_p99"):
            assert found.number(name) == pytest.approx(expected.number(name), abs=2e-3)
        assert [region[:4] for region in found.verdict.regions] == [region[:4] for region in expected.verdict.regions]
    for kind in ("masks", "overlays"):
        names = [sorted(path.name for path in (place / kind).iterdir()) for place in places]
        assert names[0] == names[1]
        for name in names[0]:
            one, other = (cv2.imread(str(place / kind / name)).astype(int) for place in places)
            assert np.abs(one - other).mean() < 1


@pytest.mark.slow
def test_predict_by_a_file_needs_no_torch_and_goes_on_where_it_ended(folder, exported, tmp_path):
    path, photograph, output = exported("pixel") / "exported.onnx", folder / "3.png", tmp_path / "out.jsonl"
    told = in_a_process_without(
        ("torch", "scipy", "pandas", "pytorch_lightning", "torchmetrics"),
        f"""
        from anomaly_diffusion.cli.main import main
        words = ["predict", "--run_folder", {str(path)!r}, "--masks", "--overlays", "--output", {str(output)!r}]
        assert main([*words, {str(photograph)!r}]) == 0
        assert main([*words, {str(photograph)!r}, {str(folder / "0.png")!r}, "--append"]) == 0
        """,
    )
    assert told.count("judged 1 photographs") == 2
    first, second = map(json.loads, output.read_text().splitlines())
    assert first["score"] == ExportedInspector(path)(photograph).score
    assert second["path"] == (folder / "0.png").as_posix()
    assert len(list((tmp_path / "overlays").iterdir())) == len(list((tmp_path / "masks").iterdir())) == 2


@pytest.mark.slow
def test_what_a_file_cannot_predict_is_refused_in_one_sentence(folder, exported, typed, tmp_path):
    path = tmp_path / "alone.onnx"
    path.write_bytes((exported("pixel") / "exported.onnx").read_bytes())
    for words, status, told in (
        (["0.png"], 2, "lies in no run folder, which would take the files: name a place by --output FILE.csv"),
        (["--watch", "."], 2, "lies in no run folder"),
        ([], 2, "knows no data of its own: name photographs, or --watch."),
        (["0.png", "--output", "-", "--device", "cuda"], 1, '`device` must be "cpu" for an exported file, got cuda.'),
    ):
        found, _, error = typed("--run_folder", path, *words)
        assert found == status
        assert told in error
        assert len(error.splitlines()) <= 2
    status, _, error = typed("--run_folder", tmp_path / "absent.onnx", "0.png", "--output", "-")
    assert (status, "There is no file" in error) == (1, True)
    assert sorted(tmp_path.iterdir()) == [path]
    status, told, _ = typed("--run_folder", path, "0.png", "--output", "-", "--false_alarms", ".2", "--json")
    assert status == 0
    assert json.loads(told)["limit"] == ExportedInspector(path, false_alarms=0.2).limits["limit"]


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.onnx"):
        ExportedInspector(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"bad\.onnx cannot be read"):
        OnnxEngine(tmp_path / "bad.onnx")
    with pytest.raises(ValueError, match="`threads` must be at least 1, got 0"):
        OnnxEngine(tmp_path / "bad.onnx", threads=0)
    with pytest.raises(ValueError, match=r"holds no description of version 2.*Export the run again"):
        Description.read(json.dumps({"version": 0}), "old.onnx")


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    import sys

    from anomaly_diffusion.deploy.exporting.formats import Onnx

    (tmp_path / "some.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"onnxruntime is not installed.*\[runtime\]"):
        OnnxEngine(tmp_path / "some.onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"onnx is not installed.*\[export\]"):
        Onnx().check()
