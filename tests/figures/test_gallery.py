"""Images and lines stand where their names say."""

import numpy as np
import pytest
import torch
from pictures import decoded

from anomaly_diffusion.figures.gallery import gallery, marked
from anomaly_diffusion.figures.line_chart import line_chart

RED = torch.tensor([1.0, -1.0, -1.0])[:, None, None].expand(3, 8, 8)
GREY = torch.zeros(1, 8, 16)


def test_images_stand_in_their_row_and_column() -> None:
    picture = decoded(gallery({"a": {"x": RED, "y": GREY}, "b": {"x": GREY}}, tile=40, side=60).content)
    red = (picture == (0, 0, 255)).all(2)
    rows, columns = np.nonzero(red)
    assert red.sum() == 40 * 40
    assert (rows.min(), columns.min()) == (22, 60)
    grey = (np.abs(picture.astype(int) - 128) <= 1).all(2)
    assert grey[22:62, 104:184].all()
    assert grey[66:106, 60:140].all()


def test_a_gallery_of_nothing_is_refused() -> None:
    for rows in ({}, {"empty": {}}):
        with pytest.raises(ValueError, match="`rows` must hold an image"):
            gallery(rows)


def test_a_map_glows_where_it_is_high_and_a_contour_hides_nothing_of_the_defect() -> None:
    mask, heat = torch.zeros(8, 16, dtype=torch.bool), torch.zeros(8, 16)
    mask[2:5, 3:6], heat[:, 10:] = True, 8.0
    plain = marked(GREY)
    assert plain.shape == (3, 256, 512)
    assert plain.abs().max() < 0.01
    warm, contour = marked(GREY, heat), marked(GREY, mask=mask)
    assert (warm[0] - warm[2])[:, 400:].min() > 0.3
    assert torch.equal(*warm[[0, 2], :, :200])
    drawn = (contour != plain).any(0)
    assert drawn.any()
    assert not drawn[64:160, 96:192].any()


def test_the_scale_of_maps_stands_below_and_hides_nothing() -> None:
    rows = {"a": {"x": GREY, "y": GREY, "z": GREY}}
    plain, scaled = (decoded(gallery(rows, map_limit=limit).content) for limit in (None, 8.0))
    assert scaled.shape[0] > plain.shape[0] + 20
    assert np.array_equal(scaled[: len(plain)], plain)
    below = scaled[len(plain) :].astype(int)
    assert (below[..., 2] - below[..., 0] > 100).sum() > 200  # orange and red of the map's colours


def test_there_is_a_panel_for_each_figure() -> None:
    points = [{"depth": depth, "psnr": 40 - depth, "ssim": 0.9} for depth in (0.1, 0.4, 1.6)]
    one = decoded(line_chart({"run": points}, ["psnr"]).content)
    two = decoded(line_chart({"run": points, "other": points[:2]}, ["psnr", "ssim"], log=False).content)
    assert two.shape[1] > 1.6 * one.shape[1]
    assert len(np.unique(two.reshape(-1, 3), axis=0)) > 10
    with pytest.raises(ValueError, match="`figures` must name"):
        line_chart({"run": points}, [])
