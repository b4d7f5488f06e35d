"""What is answered: an inspection as JSON, or its map as a PNG with the verdict in the head."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from starlette.responses import Response

from anomaly_diffusion import files
from anomaly_diffusion.callbacks.image_files import OFFSET, SCALE
from anomaly_diffusion.deploy.inspection import Inspection
from anomaly_diffusion.deploy.serving.counters import VERDICT

__all__ = ["answer", "described", "refusal"]

_COLOURS_END = 8.0  # standard deviations, as in the pictures of a run


def described(inspection: Inspection) -> dict[str, Any]:
    """Every number and word of an inspection, for JSON; boxes, peak and size are in pixels of the photograph."""
    described: dict[str, Any] = files.finite(
        {
            "name": inspection.name,
            "verdict": _word(inspection),
            "score": inspection.score,
            "p_value": inspection.p_value,
            "limit": inspection.limit,
            "pixel_limit": inspection.pixel_limit,
            "drift": inspection.drift,
            "regions": [region._asdict() for region in inspection.regions],
            "peak": list(inspection.peak),
            "size": list(inspection.size),
        }
    )
    return described


def answer(inspection: Inspection, photograph: Path, asked: str) -> Response:
    """The answer to one request.

    Args:
        inspection: of the photograph.
        photograph: its file, for a picture of the map over it.
        asked: "picture", "values", or nothing for JSON.
    """
    head = {VERDICT: _word(inspection), "x-score": f"{inspection.score!r}", "x-p-value": f"{inspection.p_value!r}"}
    if asked == "picture":
        return Response(_picture(inspection, photograph), headers=head, media_type="image/png")
    if asked == "values":
        return Response(_values(inspection), headers=head, media_type="image/png")
    return Response(json.dumps(described(inspection)), headers=head, media_type="application/json")


def refusal(status: int, reason: str) -> Response:
    """The answer to what cannot be judged, as the server's own refusals are written."""
    return Response(json.dumps({"detail": reason}), status, media_type="application/json")


def _word(inspection: Inspection) -> str:
    return "defective" if inspection.defective else "normal"


def _picture(inspection: Inspection, photograph: Path) -> bytes:
    from anomaly_diffusion.data.reading.photographs import read_pixels
    from anomaly_diffusion.figures.tiles import overlay_file

    return overlay_file(read_pixels(photograph) / 255, inspection.map, _COLOURS_END)


def _values(inspection: Inspection) -> bytes:
    """16 bits, grey: a value is stored * SCALE + OFFSET, as in the TIFF files of a run."""
    stored = np.rint((inspection.map - OFFSET) / SCALE).clip(0, 65535).astype(np.uint16)
    return bytes(cv2.imencode(".png", stored)[1])
