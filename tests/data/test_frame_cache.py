"""Photographs that take long to prepare are not prepared in silence."""

import io
import logging
import time

import numpy as np
import pytest
from rich.console import Console

from anomaly_diffusion.data import progress
from anomaly_diffusion.data.frame_cache import FrameStore, Photograph, Reader, painting_seed
from anomaly_diffusion.data.framing import Resize
from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.painting.painter import Painter


class SlowPainter(Painter):
    """Takes its time."""

    def __call__(self, image, generator):
        time.sleep(0.05)
        return super().__call__(image, generator)


def prepare(monkeypatch, slow, terminal):
    """Prepare twelve painted photographs, and return what the screen shows."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    monkeypatch.setattr("rich.get_console", lambda: console)
    monkeypatch.setattr(progress, "_SLOW", slow)
    dataset = Textures(train=12)
    photographs = [Photograph(sample, painting_seed(0, dataset.name(sample))) for sample in dataset.train_samples()]
    frames = FrameStore(photographs, Reader(dataset, Resize(), (64, 64), 1, SlowPainter()), 1 << 30)
    assert np.any(frames.take(range(12)).mask, axis=(1, 2)).all()
    return console.file.getvalue()


@pytest.mark.parametrize(("slow", "shown"), [(0.06, True), (60.0, False)])
def test_a_bar_is_shown_where_preparing_takes_long(monkeypatch, slow, shown):
    assert ("Preparing photographs" in prepare(monkeypatch, slow, terminal=True)) == shown


def test_a_log_gets_a_line_instead(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, progress.__name__):
        assert not prepare(monkeypatch, 0.06, terminal=False)
    assert "Preparing photographs" in caplog.text
    assert "of 12" in caplog.text
