"""`paper`: what names say, which sentences the figures decide, and documents that compile whatever runs there are."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import unchanged_process
from run_folders import image, written
from scipy import stats

from anomaly_diffusion import files
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.report.paper.appendix import appendix, as_markdown, portable
from anomaly_diffusion.report.paper.claims import claims
from anomaly_diffusion.report.paper.documents import DOCUMENTS, compiled, make_sections, write_sources
from anomaly_diffusion.report.paper.effects import Gain, mean_difference, paired
from anomaly_diffusion.report.paper.missing import lacks
from anomaly_diffusion.report.paper.records import records, unpacked
from anomaly_diffusion.report.paper.sections.acting import acting, most_promised
from anomaly_diffusion.report.paper.sections.curves import NOISES, PARAMETRISATIONS, STRATEGIES, few_photographs
from anomaly_diffusion.report.paper.sections.gallery import gallery
from anomaly_diffusion.report.paper.sections.main_result import main_result
from anomaly_diffusion.report.paper.sections.sets import sets
from anomaly_diffusion.report.paper.study import FOREIGN, read_study
from anomaly_diffusion.runs.image_results import as_csv
from anomaly_diffusion.types import Verdict

ROOT = Path(__file__).parents[2]
SEEDS = (0, 1)
SLIDES = 12
RATE = {"hits": 3, "total": 6, "share": 0.5, "low": 0.12, "high": 0.88}
TINY = (
    *("train", "--config", "experiments/model/pixel.yaml", "--config", "experiments/data/textures.yaml"),
    *("--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--data.batch_size", "4"),
    *("--model.init_args.backbone.init_args.width", "8", "--wandb.mode", "disabled", "--experiment", "pixel-brick"),
    *("--data.dataset.init_args.train=8", "--data.dataset.init_args.validation=8", "--data.dataset.init_args.test=6"),
    "--model.init_args.reconstruction.init_args.depths=[0.3]",
)


def verdicts(alarms):
    """Those of a summary, with a promise of at most .2."""
    measured = {"hits": int(6 * alarms), "total": 6, "share": alarms, "low": max(0, alarms - 0.2), "high": alarms + 0.1}
    told = {"limit": 5.0, "promised": 0.05, "at_most": 0.2, "normals": 19, "extrapolated": False}
    return told | {"found": RATE, "in_place": RATE, "false_alarms": measured, "found_by_kind": {"dent": RATE}}


def summary(model, seed, pixel_ap, alarms):
    figures = dict.fromkeys(("image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "aupro", "aupro_05"), pixel_ap)
    costs = {"nfe": 1, "seconds_per_image": 0.1, "train_seconds": 9.0, "peak_memory_mb": 100, "parameters": 1000}
    command = f"python -m anomaly_diffusion train --config model/{model}.yaml --runs_dir /somewhere/runs"
    judged = {"verdicts": verdicts(alarms), "validation": {"pixel_ap": pixel_ap / 2}, "seed": seed, "command": command}
    controls = {"brightness": {"image_auroc": 0.99}, "blurred_self": {"image_auroc": 0.6}}
    return {**figures, "pixel_ap": pixel_ap, **costs, **judged, "controls": controls, "test_set": "0123456789abcdef"}


def judged_images(seed):
    """Six normal and six defective images with verdicts."""
    draw = np.random.default_rng(seed)
    for number in range(12):
        label = int(number >= 6)
        score = float(draw.normal(4 + 2 * label))
        said = Verdict(0.5, 5.0, score > 5, "", (), (0, 0), bool(number % 2) if label else None)
        share = {"defect_share": 0.01 * (number - 5)} if label else {}
        yield image(f"test/{'dent' if label else 'good'}/{number}.png", label, score, verdict=said, **share)


def make(root, name, seed, pixel_ap, alarms=0.0, **tables):
    """A run by hand, of the data set that its name says."""
    model = name.split("-")[0]
    data = {"dataset": {"class_path": "MVTecAD", "init_args": {"category": "tile"}}, "image_size": [64, 64]}
    folder = root / name / f"seed{seed}" if "/" not in name else root / name
    told = summary(model, seed, pixel_ap, alarms)
    return written(
        folder, told, {"data": data, "model": {"class_path": model}}, per_image=as_csv(judged_images(seed)), **tables
    )


def write_limits(folder):
    defects = [{"path": "a.png", "width": width, "cnr": 2.0, "found": width > 0.03} for width in (0.02, 0.04, 0.08)]
    family = {"sentence": "", "a50": 0.03, "a90": 0.04, "a90_95": 0.06, "defects": defects}
    told = {"false_alarms": 0.05, "widths": [0.02, 0.04, 0.08], "contrasts": [2.0]}
    real = [{"path": "b.png", "width": 0.05, "cnr": 1.0, "found": None}]
    files.write_json(folder / "detection_limit.json", {**told, "families": {"crack": family}, "real": real})


def write_reconstructions(folder):
    measures = ("psnr", "ssim", "hallucination", "cooccurrence", "retained_coarse", "retained_middle", "retained_fine")
    spectra = {"cycles_per_pixel": [0.1, 0.3, 0.5], "power": {"image": [1, 1, 1], "depth 0.5": [1, 0.5, 0.1]}}
    normal = {name: {"mean": 0.5} for name in measures}
    files.write_json(folder / "failures.json", {"photographs": True, "normal": normal, "spectra": spectra})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of runs by hand, with files for every section but pictures."""
    root = tmp_path_factory.mktemp("whole")
    depths = "depth,image_auroc,pixel_ap\n0.2,0.6,0.3\n1.0,0.7,0.2\n"
    for seed in SEEDS:
        for model, pixel_ap, alarms in (("pixel", 0.1, 0.0), ("feature", 0.5, 0.5), ("padim", 0.3, 0.0)):
            run = make(root, f"{model}-tile", seed, pixel_ap + 0.01 * seed, alarms)
            write_limits(run.folder)
        write_reconstructions(root / f"pixel-tile/seed{seed}")
        make(root, "feature-tile-n8-draw0", seed, 0.2)
        make(root, "pixel-tile-simplex_noise", seed, 0.15)
        make(root, f"pixel-tile/seed{seed}/evaluations/guided-001", seed, 0.12)
        make(root, f"pixel-tile/seed{seed}/evaluations/depth_sweep-001", seed, 0.11, depths=depths)
    figures = dict.fromkeys(("psnr", "ssim", "fine", "added", "copied", "pixel_ap", "aupro"), 0.5)
    arms = [("own", 20.0), ("foreign", 18.0), ("full", 19.0)]
    rows = [
        {"seed": seed, "target": "tile", "arm": arm, "strategy": "one-shot", "depth": depth, **figures, "psnr": psnr}
        for seed in SEEDS
        for depth in (0.5, 1.0)
        for arm, psnr in arms
    ]
    files.write_json(root / FOREIGN, {"rows": rows})
    return root


@pytest.fixture(scope="module")
def sections(whole):
    return make_sections(read_study(whole))


@pytest.mark.parametrize(
    ("name", "model", "data", "changes", "count"),
    [
        ("feature-tile", "feature", "tile", (), None),
        ("table_features-padim-ball_screw", "padim", "ball_screw", (), None),
        ("feature-tile-n8-draw2", "feature", "tile", (), 8),
        ("pixel-tile-noise_prediction-depth_sweep", "pixel", "tile", ("noise_prediction", "depth_sweep"), None),
    ],
)
def test_names_say_what_a_run_is(tmp_path, name, model, data, changes, count):
    make(tmp_path, name, 0, 0.5)
    (trial,) = read_study(tmp_path).trials
    assert (trial.model, trial.data, trial.changes, trial.photographs) == (model, data, changes, count)


def test_an_evaluation_is_a_change_of_its_run_and_one_without_a_change_is_left_out(tmp_path):
    for name in ("pixel-tile/seed0", "pixel-tile/seed0/evaluations/001", "pixel-tile/seed0/evaluations/guided-001"):
        make(tmp_path, name, 0, 0.5)
    assert [trial.changes for trial in read_study(tmp_path).trials] == [(), ("guided",)]


def test_images_of_two_sizes_are_two_sets(tmp_path):
    make(tmp_path, "pixel-tile", 0, 0.5)
    run = make(tmp_path, "padim-tile", 0, 0.5)
    (run.folder / "config.yaml").write_text((run.folder / "config.yaml").read_text().replace("64", "32"))
    assert sorted(read_study(tmp_path).data) == ["tile, 32 x 32", "tile, 64 x 64"]


def test_a_folder_without_runs_is_refused_with_what_was_expected(tmp_path, capsys):
    assert main(["paper", str(tmp_path)]) == 1
    assert "Expected" in capsys.readouterr().err


def test_a_folder_without_a_model_as_shipped_is_refused_with_what_it_lacks(tmp_path, capsys):
    make(tmp_path, "feature-tile-n8", 0, 0.5)
    assert main(["paper", str(tmp_path)]) == 1
    assert "feature-tile/<run>" in capsys.readouterr().err


def test_the_interval_of_a_pair_is_that_of_student(tmp_path):
    values = {"pixel-tile": [0.2, 0.26, 0.21], "pixel-tile-simplex_noise": [0.3, 0.35, 0.33]}
    for name, some in values.items():
        for seed, value in enumerate(some):
            make(tmp_path, name, seed, value)
    study = read_study(tmp_path)
    theirs, ours = study.plain("tile", "pixel"), study.changed("tile", "pixel", ["simplex_noise"])["simplex_noise"]
    gain, count = paired(ours, theirs[::-1], "pixel_ap")
    interval = stats.ttest_rel(*reversed(list(values.values()))).confidence_interval(0.95)
    assert (gain.low, gain.high, count) == pytest.approx((interval.low, interval.high, 3))
    assert paired(ours[:1], theirs[1:], "pixel_ap") is None
    assert paired(ours[:1], theirs, "pixel_ap") == (Gain(pytest.approx(0.1)), 1)


def test_the_interval_of_a_difference_is_that_of_welch():
    ours, theirs = [0.3, 0.35, 0.33], [0.2, 0.26]
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    gain = mean_difference(ours, theirs)
    assert (gain.low, gain.high) == pytest.approx((interval.low, interval.high))
    assert mean_difference([0.3], theirs).low is None


def test_a_promise_is_beta_binomial():
    told = {"normals": 64, "promised": 3 / 65, "false_alarms": {"total": 41}}
    assert most_promised(told) == 6  # of the table in report/results.md
    draws = np.random.default_rng(0).random((20000, 64 + 41))
    limits = np.sort(draws[:, :64])[:, -3]  # the 62nd smallest of 64
    share = ((draws[:, 64:] > limits[:, None]).sum(1) <= 6).mean()
    assert 0.975 <= share < 0.99


def test_sentences_follow_the_figures(sections):
    said = " ".join(claims(sections))
    assert "Feature diffusion has a higher pixel AP than the better of PaDiM and PatchCore on 1 of 1 sets" in said
    assert "Pixel diffusion does not have a higher pixel AP" in said
    assert "in 2 of 6 runs there are more of them than were promised (95 %): feature diffusion on tile" in said
    assert "tile: brightness |z| 0.990" in said


def test_sentences_turn_with_the_figures(tmp_path):
    for seed in SEEDS:
        run = make(tmp_path, "feature-tile", seed, 0.2 + 0.01 * seed)
        beyond = run.summary | {"controls": {"mean_image": {"pixel_ap": 0.25, "image_auroc": 0.9}}}
        files.write_json(run.folder / "summary.json", beyond)
        make(tmp_path, "padim-tile", seed, 0.3 + 0.01 * seed)
    study = read_study(tmp_path)
    made = {"sets": sets(study), "main_result": main_result(study), "acting": acting(study)}
    said = " ".join(claims(made))
    assert (
        "Feature diffusion does not have a higher pixel AP than the better of PaDiM and PatchCore on any of 1" in said
    )
    assert "The interval lies below zero on tile" in said
    assert "higher pixel AP than models on 1 set (tile: mean image 0.250, above feature diffusion)" in said
    assert "within what was promised (95 %) in each of 4 runs" in said


def test_every_section_is_made_where_its_files_are(sections, whole):
    made = {"sets", "main_result", "acting", "detectable", "few_photographs", "noise", "depth", "strategies"}
    assert set(sections) == made | {"parts", "texture", "foreign", "cost", "failing"}
    for section in sections.values():
        for drawn in section.figures.values():
            assert b"/FontFile2" in drawn.picture, "fonts are not inside"
            assert drawn.trials or drawn.source
    assert [lack.what for lack in lacks(read_study(whole), sections) if "seeds" not in lack.what] == [
        "pictures, which need a run on the built-in textures, or --photographs"
    ]


def test_few_photographs_are_compared_with_all_of_the_same_network_only(tmp_path):
    runs = [make(tmp_path, name, 0, pixel_ap) for name, pixel_ap in (("pixel-tile", 0.4), ("pixel-tile-n8", 0.1))]
    files.write_json(runs[0].folder / "split.json", {"train": ["a.png"] * 20})
    assert [row["share"] for row in few_photographs(read_study(tmp_path)).data["rows"]] == [0.25]
    files.write_json(runs[0].folder / "summary.json", runs[0].summary | {"parameters": 7})
    assert [row["share"] for row in few_photographs(read_study(tmp_path)).data["rows"]] == [None]


def test_what_is_missing_comes_with_a_command_of_shipped_experiments(tmp_path):
    make(tmp_path, "pixel-tile", 0, 0.5)
    found = lacks(read_study(tmp_path), {})
    assert len(found) > 5
    for lack in found:
        words = shlex.split(lack.command)
        assert words[0] in ("anomaly-diffusion", "python")
        assert [word for word in words if word.endswith(".yaml") and not is_shipped(word)] == []


def is_shipped(experiment):
    """Whether it lies in the repository; benchmarks name it as it is called below experiments/."""
    return (ROOT / experiment).is_file() or (ROOT / "experiments" / experiment).is_file()


def test_changes_are_named_after_shipped_experiments():
    assert [name for name in (*NOISES, *PARAMETRISATIONS, *STRATEGIES) if not ablation(name).is_file()] == []


def ablation(name):
    return ROOT / "experiments/ablation" / f"{name}.yaml"


def test_commands_hold_nothing_of_one_machine():
    typed = (
        "python -m anomaly_diffusion test --run_folder /a/b/runs/pixel-tile/001 --config /a/x.yaml --runs_dir /a/runs"
    )
    assert portable(typed) == "anomaly-diffusion test --run_folder pixel-tile/001 --config x.yaml"


def test_photographs_of_other_sets_are_shown_only_if_asked_for(tmp_path):
    run = make(tmp_path, "pixel-tile", 0, 0.5)
    shown = {"path": "test/dent/7.png", "label": 1, "score": 5.0, "kind": "dent"}
    files.write_json(run.folder / "panels/test.json", {"images": [shown]})
    for name in ("image", "reconstruction", "anomaly_map"):
        files.write(run.tile("test/dent/7.png", name), cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    study = read_study(tmp_path)
    assert gallery(study, photographs=False) is None
    assert gallery(study, photographs=True) is not None


def test_without_typst_a_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(ImportError, match=r"pip install 'anomaly-diffusion\[report\]'"):
        compiled(tmp_path, "report")


def test_documents_compile_with_every_section(whole, sections, tmp_path):
    pytest.importorskip("typst", reason="typst is not installed")
    told = write_sources(tmp_path, read_study(whole), sections, [])
    assert json.loads((tmp_path / "data.json").read_text())["claims"] == told["claims"]
    pages = {name: pages_of(compiled(tmp_path, name)) for name in DOCUMENTS}
    assert pages["slides"] == SLIDES
    assert pages["report"] > 4


def test_what_a_change_is_worth_is_told_by_pairs_of_seeds(sections):
    rows = {row["change"]: row for row in sections["parts"].data["rows"]}
    assert set(rows) == {"simplex noise", "guided", "depth sweep"}
    assert rows["simplex noise"]["pairs"] == 2
    assert rows["guided"]["pixel_ap"].startswith("+.015 (")


def test_a_foreign_prior_is_told_by_what_it_lacks(sections):
    (gap,) = sections["foreign"].data["gaps"]
    assert (gap["psnr"], gap["surely"], gap["closed"]) == (2.0, True, 0.5)


def test_records_make_the_same_documents_and_hold_nothing_of_one_machine(whole, sections, tmp_path):
    study = read_study(whole)
    kept = tmp_path / "records.tar.xz"
    kept.write_bytes(records(study))
    assert records(read_study(whole)) == kept.read_bytes()
    with unpacked(kept) as folder:
        again = read_study(folder)
        made = make_sections(again)
        for path in folder.rglob("*.json"):
            assert "/somewhere" not in path.read_text()
        assert appendix(again, made) == appendix(study, sections)
    assert {name: section.data for name, section in made.items()} == {name: s.data for name, s in sections.items()}
    pictures = [{n: d.picture for s in some.values() for n, d in s.figures.items()} for some in (made, sections)]
    assert pictures[0] == pictures[1]


def test_the_appendix_in_the_repository_says_what_its_records_say():
    with unpacked(ROOT / "report/pixels/records.tar.xz") as folder:
        study = read_study(folder)
        made = make_sections(study)
        assert as_markdown(appendix(study, made), made) == (ROOT / "report/pixels/appendix.md").read_text()


def test_a_file_that_is_no_archive_is_refused(tmp_path, capsys):
    (tmp_path / "records.tar.xz").write_text("no archive")
    assert main(["paper", str(tmp_path / "records.tar.xz")]) == 1
    assert "--records" in capsys.readouterr().err


@pytest.mark.slow
def test_report_and_slides_of_one_tiny_run(tmp_path_factory):
    pytest.importorskip("typst", reason="typst is not installed")
    with unchanged_process():
        os.chdir(tmp_path_factory.mktemp("tiny"))
        assert main(list(TINY)) == 0
        assert main(["paper", "runs", "--output", "out"]) == 0
        assert pages_of(Path("out/slides.pdf").read_bytes()) == SLIDES
        assert b"/FontFile" in Path("out/report.pdf").read_bytes()
        assert "<table" in Path("out/index.html").read_text()
        assert "pixel-brick" in Path("out/appendix.md").read_text()
        assert Path("out/build/figures/gallery.pdf").is_file()


def pages_of(content):
    """Pages of a PDF, as its tree of pages counts them."""
    assert content.startswith(b"%PDF")
    return max(int(count) for count in re.findall(rb"/Count (\d+)", content))
