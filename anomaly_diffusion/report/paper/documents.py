"""From sections to documents: a folder with figures, data and templates, compiled by typst."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from anomaly_diffusion import __version__, files
from anomaly_diffusion.report.paper.appendix import appendix, portable
from anomaly_diffusion.report.paper.claims import claims
from anomaly_diffusion.report.paper.drawing import style
from anomaly_diffusion.report.paper.missing import Lack
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.sections.acting import acting
from anomaly_diffusion.report.paper.sections.cost import cost
from anomaly_diffusion.report.paper.sections.curves import depth, few_photographs, noise, strategies
from anomaly_diffusion.report.paper.sections.detectable import detectable
from anomaly_diffusion.report.paper.sections.failing import failing
from anomaly_diffusion.report.paper.sections.foreign import foreign
from anomaly_diffusion.report.paper.sections.gallery import gallery
from anomaly_diffusion.report.paper.sections.main_result import main_result
from anomaly_diffusion.report.paper.sections.parts import parts
from anomaly_diffusion.report.paper.sections.sets import sets
from anomaly_diffusion.report.paper.sections.texture import texture
from anomaly_diffusion.report.paper.study import Study

__all__ = ["DOCUMENTS", "compiled", "make_sections", "templates_folder", "write_sources"]

DOCUMENTS = ("report", "slides")
_TEMPLATES = (*DOCUMENTS, "style")
_MAKERS: Sequence[Callable[[Study], Section | None]] = (
    *(
        main_result,
        acting,
        detectable,
        few_photographs,
        noise,
        depth,
        strategies,
        parts,
        texture,
        foreign,
        cost,
        failing,
    ),
)
_LINES = 6  # of what typst says


def make_sections(study: Study, photographs: bool = False) -> dict[str, Section]:
    """Every section that run files allow, by its name.

    Args:
        study: the runs.
        photographs: whether those of every set may be shown, not only those of the built-in textures.

    Raises:
        ValueError: no run is of a model as shipped.
    """
    if not study.models:
        first = study.trials[0]
        raise ValueError(
            f"No run in {study.folder} is of a model as shipped with all photographs, beside which others could stand. "
            f"Train one: {study.folder}/{first.model}-{first.data}/<run>."
        )
    with style():
        made = {"sets": sets(study), "gallery": gallery(study, photographs)}
        made |= {maker.__name__: maker(study) for maker in _MAKERS}
    return {name: section for name, section in made.items() if section is not None}


def write_sources(
    build: Path, study: Study, sections: Mapping[str, Section], lacking: Sequence[Lack]
) -> dict[str, Any]:
    """Write `data.json`, `figures/` and the templates, which typst needs and people may edit; returns the data.

    Args:
        build: the folder; made if missing.
        study: the runs.
        sections: of `make_sections`.
        lacking: what is not in the report.
    """
    told = {
        "version": __version__,
        "runs": len(study.trials),
        "data": study.data,
        "compared": study.compared,
        "claims": claims(sections),
        "sections": {name: {**section.data, "figures": _files(section)} for name, section in sections.items()},
        "appendix": appendix(study, sections),
        "missing": [{"what": lack.what, "command": portable(lack.command)} for lack in lacking],
    }
    for section in sections.values():
        for name, drawn in section.figures.items():
            files.write(build / _file(name, drawn), drawn.picture)
    for name in _TEMPLATES:
        files.write(build / f"{name}.typ", (templates_folder() / f"{name}.typ").read_bytes())
    files.write_json(build / "data.json", told)
    return told


def compiled(build: Path, name: str) -> bytes:
    """A document as PDF, with its fonts inside.

    Args:
        build: what `write_sources` has written.
        name: of `DOCUMENTS`.

    Raises:
        ImportError: typst is not installed.
        ValueError: the template does not compile.
    """
    try:
        import typst
    except ImportError:
        raise ImportError(
            f"PDF needs typst: pip install 'anomaly-diffusion[report]'. Figures and data are in {build} already."
        ) from None
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    try:
        content: bytes = typst.compile(str(build / f"{name}.typ"), root=str(build), font_paths=[str(fonts)])
    except typst.TypstError as error:
        said = "\n".join(str(error).splitlines()[:_LINES])
        raise ValueError(f"{build / name}.typ does not compile: {said}") from None
    return content


def templates_folder() -> Path:
    """Where `report.typ` and its likes are: inside the installed package, or in `report/` of a clone."""
    inside = Path(__file__).resolve().parents[1] / "templates"
    return inside if (inside / "report.typ").is_file() else inside.parents[2] / "report"


def _files(section: Section) -> dict[str, str]:
    return {name: _file(name, drawn) for name, drawn in section.figures.items()}


def _file(name: str, drawn: Drawn) -> str:
    return f"figures/{name}.{drawn.ending}"
