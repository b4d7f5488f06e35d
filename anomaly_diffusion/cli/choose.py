"""`choose`: which of several settings of a run finds most painted defects, if validation can tell."""

import argparse
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anomaly_diffusion.cli.parsing.arguments import locate_config
from anomaly_diffusion.cli.user_errors import UsageError
from anomaly_diffusion.runs import painted_defects, run_folder
from anomaly_diffusion.runs.record import RunRecord
from anomaly_diffusion.runs.tables import Grid

if TYPE_CHECKING:
    from anomaly_diffusion.verdicts.choice import Choice

__all__ = ["Setting", "choice_among", "choice_table", "main"]

_SPARE = 1.25  # painted defects are drawn: some families get fewer than others
_DEPTHS = "model.init_args.reconstruction.init_args.depths"


class Setting(NamedTuple):
    """What is put on top of a run.

    Attributes:
        configs: paths of files.
        depths: of the reconstruction, one after the other; those of the run if there is none.
    """

    configs: tuple[str, ...] = ()
    depths: tuple[float, ...] = ()

    @property
    def options(self) -> dict[str, list[float]]:
        """Settings by their names."""
        return {_DEPTHS: list(self.depths)} if self.depths else {}

    @property
    def words(self) -> list[str]:
        """The same as words of a command."""
        configs = [word for path in self.configs for word in ("--config", path)]
        return configs + [word for name, value in self.options.items() for word in (f"--{name}", json.dumps(value))]


_AS_IT_IS = Setting()


def main(arguments: list[str]) -> int:
    """Validate each setting on the same painted defects, choose, and print why."""
    options = _parser().parse_args(arguments)
    if options.paintings is not None and options.paintings < 1:
        raise UsageError(f"`--paintings` must be at least 1, got {options.paintings}.")
    if options.among is None and options.depths is None:
        raise UsageError("name what to choose among: --among SETTING..., or --depths DEPTH...")
    run = _run("run", options.run, options.runs_dir)
    settings, runs = _settings(options.among or (), options.runs_dir)
    settings |= _at_depths(options.depths or ())
    if run_name(run) in runs:
        raise UsageError(f"`--among` must name other settings than the run's own, got {run_name(run)} itself.")
    labelled = [_run("--labelled", name, options.runs_dir) for name in options.labelled]
    validated = _all_validated(run, settings, runs, options.paintings)
    choice = choice_among(validated, run_name(run))
    print(choice_table(choice, validated))
    print(choice)
    if choice.setting in settings:
        print(
            shlex.join(["anomaly-diffusion", "test", "--run_folder", str(run.folder), *settings[choice.setting].words])
        )
    if labelled:
        print(_trust(run, labelled, settings, options.paintings))
    return 0


def choice_among(validated: Mapping[str, Sequence[Path]], default: str) -> "Choice":
    """The choice among settings by the `painted.csv` of their runs or evaluations.

    Args:
        validated: folders of each setting; figures of several, runs that differ in their seed, are averaged.
        default: one of the settings.

    Raises:
        FileNotFoundError: one has no such file.
        ValueError: their defects are not the same.
    """
    import numpy as np

    from anomaly_diffusion.verdicts.choice import chosen

    known = {name: [painted_defects.read(folder) for folder in folders] for name, folders in validated.items()}
    first = known[default][0]
    for name, several in known.items():
        if any([defect[:2] for defect in one] != [defect[:2] for defect in first] for one in several):
            raise ValueError(f"{name} and {default} were validated on other painted defects. Give them one split.")
    figures = {
        name: np.array([[defect.pixel_ap for defect in one] for one in several]).mean(0)
        for name, several in known.items()
    }
    return chosen(figures, [defect.path for defect in first], [defect.family for defect in first], default)


def choice_table(choice: "Choice", validated: Mapping[str, Sequence[Path]]) -> str:
    """Settings by their mean rank, with their figures in each family and what reconstructions copy, as Markdown."""
    families = list(choice.means[choice.default])
    ranked = sorted(choice.mean_ranks, key=lambda name: choice.mean_ranks[name])
    rows = [
        [name, f"{choice.mean_ranks[name]:.2f}", *(f"{choice.means[name][family]:.3f}" for family in families)]
        for name in ranked
    ]
    copied = [_copied(validated[name]) for name in ranked]
    known = any(copied)
    heads = ["pixel AP of painted defects", "mean rank", *families, *(["copied"] if known else [])]
    return Grid(heads, [row + [told] * known for row, told in zip(rows, copied, strict=True)]).markdown()


def _copied(folders: Sequence[Path]) -> str:
    """How many painted defects reconstructions keep, at each depth; nothing where no photographs are reconstructed."""
    defects = [defect for folder in folders for defect in painted_defects.read(folder)]
    depths = max((len(defect.kept) for defect in defects), default=0)
    return ", ".join(f"{copied} of {known}" for _, copied, known in painted_defects.copying(defects, range(depths)))


def _all_validated(
    run: RunRecord, settings: Mapping[str, Setting], runs: Mapping[str, RunRecord], paintings: int | None
) -> dict[str, list[Path]]:
    """Validate the run as it is, with each setting, and the other runs."""
    painted = _paintings(run, paintings)
    validated = {run_name(run): [_validated(run, painted)]}
    validated |= {name: [_validated(run, painted, name, setting)] for name, setting in settings.items()}
    return validated | {name: [_validated(other, painted)] for name, other in runs.items()}


def run_name(run: RunRecord) -> str:
    """What a run is called in a table."""
    return f"{run.group}/{run.name}"


def _validated(run: RunRecord, painted: Mapping[str, object], name: str = "", setting: Setting = _AS_IT_IS) -> Path:
    from anomaly_diffusion import api

    print(f"validating {run_name(run)} {name}".rstrip(), flush=True)
    return api.validate(run, *setting.configs, settings={**painted, **setting.options}).folder


def _paintings(run: RunRecord, asked: int | None) -> dict[str, object]:
    """So many paintings of each photograph that a family which is drawn as often as others has enough defects."""
    from anomaly_diffusion import api
    from anomaly_diffusion.data.painting.painter import FAMILIES
    from anomaly_diffusion.verdicts.choice import LEAST

    data = api.data_module(run)
    families = len(data.validation.families or FAMILIES)
    enough = math.ceil(_SPARE * LEAST * families / max(1, len(data.held_out())))
    return {"data.validation.paintings": asked or max(data.validation.paintings, enough)}


def _trust(
    run: RunRecord, labelled: Sequence[RunRecord], settings: Mapping[str, Setting], paintings: int | None
) -> str:
    """How far validation's order of these settings is that of the test, on other data sets."""
    from anomaly_diffusion.verdicts.choice import order_agreement

    taus = {}
    for other in labelled:
        if other.data_set == run.data_set:
            raise UsageError(f"`--labelled` must name runs of other data sets, got {other.folder} of {other.data_set}.")
        ranks = choice_among(_all_validated(other, settings, {}, paintings), run_name(other)).mean_ranks
        validation = dict(zip(("", *settings), (-ranks[name] for name in (run_name(other), *settings)), strict=True))
        test = {name: _tested(other, settings.get(name, _AS_IT_IS)) for name in validation}
        taus[other.data_set] = order_agreement(validation, test)
    told = ", ".join(f"{name} {tau:+.2f}" for name, tau in taus.items())
    mean = sum(taus.values()) / len(taus)
    return (
        f"trust: on other labelled sets validation's order agrees with the test's by Kendall's tau {mean:+.2f} ({told})"
    )


def _tested(run: RunRecord, setting: Setting) -> float:
    """The test figure that settings are ordered by: pixel AP, or image AUROC where there are no masks."""
    from anomaly_diffusion import api

    as_it_is = setting == _AS_IT_IS and run.results
    tested = run if as_it_is else api.evaluate(run, *setting.configs, settings=setting.options)
    found = [tested.summary.get(name) for name in ("pixel_ap", "image_auroc")]
    return float(next((figure for figure in found if figure is not None), math.nan))


def _run(option: str, name: str, runs: Path) -> RunRecord:
    try:
        return RunRecord(run_folder.find(name, runs))
    except FileNotFoundError as error:
        raise UsageError(f"`{option}`: {error}") from None


def _settings(names: Sequence[str], runs: Path) -> tuple[dict[str, Setting], dict[str, RunRecord]]:
    """What the names mean: configs to put on top of the run, by their stem, or other runs."""
    settings, others = {}, {}
    for name in names:
        if Path(name).suffix in (".yaml", ".yml"):
            settings[Path(name).stem] = Setting(configs=(locate_config(name),))
        else:
            other = _run("--among", name, runs)
            others[run_name(other)] = other
    if len(settings) + len(others) < len(names):
        raise UsageError(f"`--among` must name each setting once, got {' '.join(names)}.")
    return settings, others


def _at_depths(depths: Sequence[float]) -> dict[str, Setting]:
    """Each depth by itself."""
    if any(not 0 < depth < math.inf for depth in depths):
        raise UsageError(f"`--depths` must be positive and finite, got {' '.join(map(str, depths))}.")
    if len(set(depths)) < len(depths):
        raise UsageError(f"`--depths` must name each depth once, got {' '.join(map(str, depths))}.")
    return {f"depth {depth:g}": Setting(depths=(depth,)) for depth in depths}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion choose",
        description="Validate settings of a finished run on the same painted defects, and choose one: another than the "
        "run's own only if the photographs and three of four families of defects say so. Nothing is trained.",
    )
    parser.add_argument("run", help="the run whose settings are kept unless others are better; or last")
    among = "configs to put on top of the run, such as ablation/two_depths.yaml, or other runs on the same photographs"
    parser.add_argument("--among", nargs="+", metavar="SETTING", help=among)
    depths = "each of these depths of reconstruction by itself, sigma_t / alpha_t, such as 0.2 0.5 1 2 5"
    parser.add_argument("--depths", nargs="+", type=float, metavar="DEPTH", help=depths)
    trust = (
        "tested runs of other data sets: how far does validation's order of the configs agree with the test's there?"
    )
    parser.add_argument("--labelled", nargs="+", default=[], metavar="RUN", help=trust)
    paintings = "defects on each held-out photograph (default: so many that most families have 64)"
    parser.add_argument("--paintings", type=int, metavar="N", help=paintings)
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs go (default: runs)")
    return parser
