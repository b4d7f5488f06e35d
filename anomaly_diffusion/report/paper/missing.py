"""What a study lacks for a whole report, with the command that makes it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from anomaly_diffusion.report.paper.drawing import named
from anomaly_diffusion.report.paper.section import Section
from anomaly_diffusion.report.paper.sections.gallery import may_be_shown
from anomaly_diffusion.report.paper.study import CLASSICAL, Study, Trial

__all__ = ["Lack", "lacks"]

_SEEDS = 3
_TRAIN = "anomaly-diffusion train --config experiments/model/{}.yaml --config experiments/data/{}.yaml"
_TEST = "anomaly-diffusion test --run_folder {} --config experiments/ablation/{}.yaml"

_BRICK = f"{_TRAIN.format('pixel', 'textures')} --data.dataset.init_args.texture brick --experiment pixel-brick"


@dataclass(frozen=True)
class Lack:
    """Something that is not in the report.

    Attributes:
        what: in words.
        command: that makes it, of one case where there are several.
    """

    what: str
    command: str


def lacks(study: Study, sections: Mapping[str, Section]) -> list[Lack]:
    """Sections that could not be made, then sets without a classical method, then models with few seeds."""
    return [*_sections(study, sections), *_rivals(study), *_seeds(study)]


def _sections(study: Study, sections: Mapping[str, Section]) -> Iterator[Lack]:
    model = next((m for m in ("pixel", *study.models) if m in study.models and m not in CLASSICAL), study.models[0])
    trial = next(trial for data in study.data for trial in study.plain(data, model))
    run, train, data = trial.run.folder, _train(trial, model), trial.data.partition(",")[0]
    needed = {
        "main_result": ("the main result needs a classical method", _train(trial, CLASSICAL[0])),
        "acting": ("scores with limits need a test", f"anomaly-diffusion test --run_folder {run}"),
        "detectable": ("detection limits", f"anomaly-diffusion detection_limit --run_folder {run}"),
        "few_photographs": (
            "the learning curve needs runs called MODEL-DATA-nCOUNT, each of a folder with COUNT photographs",
            f"{train} --experiment {model}-{data}-n8 --data.dataset.init_args.root FOLDER",
        ),
        "noise": ("a second forward-process noise", f"{train} --config experiments/ablation/simplex_noise.yaml"),
        "depth": ("figures at several depths", _TEST.format(run, "depth_sweep")),
        "strategies": ("other reconstruction strategies", _TEST.format(run, "guided")),
        "parts": ("a model with one thing changed", f"{train} --config experiments/ablation/two_depths.yaml"),
        "foreign": (
            "networks of other sets",
            "python benchmarks/foreign_prior.py data/tile.yaml data/screw.yaml --output RUNS/foreign_prior",
        ),
        "texture": ("reconstructions of photographs", _train(trial, "pixel")),
        "cost": ("seconds per image", f"anomaly-diffusion test --run_folder {run}"),
        "failing": ("missed defects and false alarms need a test", f"anomaly-diffusion test --run_folder {run}"),
        "gallery": ("pictures, which need a run on the built-in textures, or --photographs", _BRICK),
    }
    yield from (Lack(*told) for name, told in needed.items() if name not in sections)


def _rivals(study: Study) -> Iterator[Lack]:
    alone = [data for data in study.data if not any(study.plain(data, model) for model in CLASSICAL)]
    if alone:
        trial = next(trial for model in study.models for trial in study.plain(alone[0], model))
        yield Lack(f"no classical method on {', '.join(alone)}", _train(trial, CLASSICAL[0]))


def _seeds(study: Study) -> Iterator[Lack]:
    """For each model the sets on which it has few seeds, and the command of the first of them."""
    for model in study.models:
        found = {data: study.plain(data, model) for data in study.data}
        few = {data: some for data, some in found.items() if some and len({trial.seed for trial in some}) < _SEEDS}
        if few:
            first = next(iter(few.values()))
            seeds = {trial.seed for trial in first}
            absent = next(str(seed) for seed in range(_SEEDS) if str(seed) not in seeds)
            command = f"{_train(first[0], model)} --seed_everything {absent}"
            yield Lack(f"{named(model)} has fewer than {_SEEDS} seeds on {', '.join(few)}", command)


def _train(trial: Trial, model: str) -> str:
    """Train a model on the data of a trial, at its size."""
    data, size = trial.data.partition(",")[0], trial.run.config.get("data", {}).get("image_size")
    sized = f" --data.image_size '[{size[0]},{size[1]}]'" if isinstance(size, list) and len(size) == 2 else ""
    if not may_be_shown(trial):
        return _TRAIN.format(model, data) + sized
    texture = trial.run.setting("data.dataset.init_args.texture")
    named_so = f" --data.dataset.init_args.texture {texture} --experiment {model}-{data}"
    return _TRAIN.format(model, "textures") + sized + named_so
