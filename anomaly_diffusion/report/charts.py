"""The drawings of a report."""

from dataclasses import dataclass

from anomaly_diffusion.figures.cost_chart import chart
from anomaly_diffusion.figures.depth_chart import curve
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.report.grids import mean_depths
from anomaly_diffusion.report.thumbnails import Thumbnail, drawing
from anomaly_diffusion.runs.cost import cost_panels, lacking, pareto_front
from anomaly_diffusion.runs.record import Groups
from anomaly_diffusion.runs.tables import told

__all__ = ["Chart", "cost_chart", "depth_charts", "spectra_charts", "verdict_charts"]

_PREFERRED = ("pixel_ap", "image_auroc", "image_ap")


@dataclass(frozen=True)
class Chart:
    """A drawing with what it shows in words.

    Args:
        title: of what.
        text: what can be seen on it.
        picture: itself.
        note: what must be said beside it: what is not on it, or what it amounts to.
    """

    title: str
    text: str
    picture: Thumbnail
    note: str = ""


def cost_chart(groups: Groups) -> Chart | None:
    """Accuracy over seconds per image: pixel AP, or what is known; None if no group has both."""
    for figure in _PREFERRED:
        missing = {name: reason for name, runs in groups.items() if (reason := lacking(runs, figure))}
        if len(missing) < len(groups):
            panels = cost_panels(groups, figure)
            picture = drawing(chart(panels, FIGURES[figure]))
            best = "; ".join(
                f"{panel.title}: {', '.join(f'{p.name} {p.figure:.3f} at {p.seconds:.3g} s' for p in front)}"
                for panel in panels
                for front in [pareto_front(panel.points)]
            )
            text = f"{FIGURES[figure]} over seconds per image. Not beaten: {best}."
            note = ", ".join(f"{name} ({reason})" for name, reason in missing.items())
            return Chart(f"{FIGURES[figure]} and what it costs", text, picture, note) if picture else None
    return None


def depth_charts(groups: Groups) -> list[Chart]:
    """The mean depth curve of each group that was judged at several depths."""
    charts = []
    for name, runs in groups.items():
        depths, figures = mean_depths(runs)
        drawn = [run.folder / "depths.png" for run in runs if len(run.depths) > 1]
        alone = len(drawn) == 1 and drawn[0].is_file()  # drawing it again would show the same
        picture = drawing(drawn[0].read_bytes() if alone else curve(depths, figures)) if depths else None
        if picture:
            text = f"Detection and fidelity of {name} at depths {depths[0]:.3g} to {depths[-1]:.3g}."
            charts.append(Chart(name, text, picture))
    return charts


def verdict_charts(groups: Groups) -> list[Chart]:
    """What the verdicts of the first run of each group that has drawn them are worth, with what can be said of them."""
    charts = []
    for name, runs in groups.items():
        run = next((run for run in runs if (run.folder / "verdict.png").is_file()), None)
        picture = drawing((run.folder / "verdict.png").read_bytes()) if run else None
        if run and picture:
            text = f"Scores and limit, ROC, precision and recall, recall by kind of defect, {name}, {run.name}."
            said = told(run.summary.get("verdicts") or {})
            charts.append(Chart(f"{name}, {run.name}", text, picture, "; ".join(said)))
    return charts


def spectra_charts(groups: Groups) -> list[Chart]:
    """The spectra that the first run of each group has drawn, if any has."""
    charts = []
    for name, runs in groups.items():
        run = next((run for run in runs if (run.folder / "spectra.png").is_file()), None)
        picture = drawing((run.folder / "spectra.png").read_bytes()) if run else None
        if run and picture:
            text = f"Power of normal images and of their reconstructions over frequency, {name}, {run.name}."
            charts.append(Chart(f"{name}, {run.name}", text, picture))
    return charts
