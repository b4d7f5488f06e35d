"""Laws of painted defects, for every family."""

import cv2
import numpy as np
import pytest
from canvases import scene, texture, thing
from PIL import Image

from anomaly_diffusion.data.framing import Resize
from anomaly_diffusion.data.painting.families.crack import Crack
from anomaly_diffusion.data.painting.families.family import Sketch
from anomaly_diffusion.data.painting.families.foreign import BUILT_IN_TEXTURES, Foreign
from anomaly_diffusion.data.painting.families.own_crops import OwnCrops
from anomaly_diffusion.data.painting.families.pit import Pit
from anomaly_diffusion.data.painting.painter import FAMILIES, Painter, Targets
from anomaly_diffusion.data.painting.statistics import FRAME, DefectStatistics, defect_statistics
from anomaly_diffusion.data.painting.visible import VISIBLE

SIZES = [(64, 64, 1), (48, 130, 3), (300, 200, 3), (26, 90, 1), (16, 16, 1)]
ON_OBJECTS = [family for family in FAMILIES if "part" in family.kind]
ON_TEXTURES = [family for family in FAMILIES if family not in ON_OBJECTS]
BROUGHT = [family for family in ON_TEXTURES if family.kind != "missing_texture"]


def each(families):
    return pytest.mark.parametrize("family", families, ids=lambda family: family.kind)


def framed(image, size):
    return Resize().place(image.shape[:2], size).image(image).astype(int)


def painted_on(family, size, seed):
    """A photograph on which the family can paint, and what it painted."""
    image = thing(size[:2], seed)[0] if family in ON_OBJECTS else texture(size, seed)
    return image, Painter(families=[family])(image, np.random.default_rng(seed))


@each(FAMILIES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_outside_the_mask_nothing_changes_and_inside_most_pixels_do(family, size):
    for seed in range(4):
        image, painted = painted_on(family, size, seed)
        change = np.abs(painted.image.astype(int) - image).max(axis=2)
        assert painted.mask.any()
        assert (change[~painted.mask] == 0).all()
        assert (change[painted.mask] >= VISIBLE).mean() > 0.5
        assert painted.kind == family.kind


@each(FAMILIES)
def test_the_same_generator_paints_the_same_and_leaves_the_photograph_alone(family):
    image, first = painted_on(family, (96, 96, 1), 1)
    before = image.copy()
    again, other = (Painter(families=[family])(image, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.array_equal(image, before)
    assert np.array_equal(first.image, again.image)
    assert (first.target, first.met) == (again.target, again.met)
    assert not np.array_equal(first.image, other.image)


@each(ON_TEXTURES)
@pytest.mark.parametrize("size", [(384, 512), (1536, 2048)], ids=str)
def test_the_same_defect_is_painted_at_every_size(family, size):
    """Painting and then shrinking is painting what has been shrunk: in place, extent and strength."""
    image = scene(*size)
    small = Sketch.of(image).image.astype(np.uint8)
    for seed in range(3 if size[0] < 1000 else 1):
        large = Painter(families=[family])(image, np.random.default_rng(seed))
        expected = Painter(families=[family])(small, np.random.default_rng(seed))
        change, known = framed(large.image, small.shape[:2]) - small, expected.image.astype(int) - small
        places = [np.argwhere(part).mean(axis=0) for part in (large.mask, expected.mask)]
        assert np.abs(places[0] * FRAME / size[1] - places[1]).max() < 0.01 * FRAME
        strength = [np.abs(part)[expected.mask].sum() for part in (change, known)]
        assert strength[0] == pytest.approx(strength[1], rel=0.25)
        # a pixel of a soft edge counts whole on the sketch, and in part on a larger photograph
        area = large.mask.mean() * expected.mask.size
        assert area == pytest.approx(expected.mask.sum(), rel=0.3, abs=8)


@each(BROUGHT)
def test_what_is_met_is_what_is_measured_and_near_the_target(family):
    """On a rough grey texture there is room for every target; defects are measured anew, by the public function."""
    deviations = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        grain = cv2.GaussianBlur(generator.normal(0, 60, (FRAME, FRAME)).astype(np.float32), (0, 0), 1.5) + 128
        image = grain.clip(0, 255).astype(np.uint8)[..., None]
        painted = Painter(families=[family])(image, generator)
        measured = max(defect_statistics(painted.image, painted.mask), key=lambda one: one.width)
        assert measured.width == pytest.approx(painted.met.width, rel=0.01)
        assert measured.cnr == pytest.approx(painted.met.cnr, rel=0.05, abs=0.05)
        pairs = [(painted.met.cnr, painted.target.cnr), (painted.met.std_ratio, painted.target.std_ratio)]
        deviations.append([abs(np.log(met / target)) for met, target in pairs])
        assert abs(painted.met.width - painted.target.width) * FRAME < 0.25 * painted.target.width * FRAME + 1.5
    assert (np.quantile(deviations, 0.7, axis=0) < [0.2, 0.25]).all()


def test_targets_are_log_uniform_and_half_of_them_long():
    drawn = [Targets().draw(np.random.default_rng(seed)) for seed in range(2000)]
    for name, low, high in (("cnr", 1, 6), ("width", 0.012, 0.08), ("std_ratio", 0.7, 3)):
        values = np.sort([getattr(target, name) for target in drawn])
        share = np.log(values / low) / np.log(high / low)  # uniform in [0, 1]
        assert np.abs(share - np.linspace(0, 1, len(share))).max() < 1.63 / np.sqrt(len(share))  # Kolmogorov, 1 %
    assert np.mean([target.elongation > 4 for target in drawn]) == pytest.approx(0.5, abs=0.035)


def test_what_is_painted_has_the_statistics_of_the_targets():
    painter, image = Painter(), texture((256, 256, 1))
    painted = [painter(image, np.random.default_rng(seed)) for seed in range(60)]
    met = [one.met for one in painted]
    assert 1.8 < np.median([one.cnr for one in met]) < 3.2
    assert 0.02 < np.median([one.width for one in met]) < 0.045
    assert 1.0 < np.median([one.std_ratio for one in met]) < 2.1
    assert 0.25 < np.mean([one.elongation > 4 for one in met]) < 0.65


def test_every_family_is_painted_and_missing_texture_is_rare():
    sketch, painter = Sketch.of(thing()[0]), Painter()
    generator = np.random.default_rng(0)
    kinds = [painter._family(sketch, painter.targets.draw(generator), generator).kind for _ in range(4000)]
    assert set(kinds) == {family.kind for family in FAMILIES}
    assert kinds.count("missing_texture") / len(kinds) < 0.05
    flat = Sketch.of(texture((256, 256, 1)))
    kinds = [painter._family(flat, painter.targets.draw(generator), generator).kind for _ in range(4000)]
    assert {family.kind for family in ON_TEXTURES} == set(kinds)
    assert kinds.count("missing_texture") / len(kinds) < 0.05


def test_a_defect_of_given_width_and_contrast_is_painted():
    """What a detection limit asks for: the same place and form, wider or stronger."""
    image = texture((256, 256, 1))
    for width in (0.015, 0.03, 0.06):
        for cnr in (1.5, 3):
            target = DefectStatistics(cnr, width, 1.5, 1.2)
            met = Painter().paint(image, np.random.default_rng(5), target, Pit()).met
            assert met.width == pytest.approx(width, abs=1.5 / 256)
            assert met.cnr == pytest.approx(cnr, rel=0.15)


def test_severity_is_a_factor_of_the_contrast():
    image = texture((128, 128, 3))
    strong, weak = (Painter(severity)(image, np.random.default_rng(3)).target for severity in (1.0, 0.4))
    assert weak.cnr == pytest.approx(0.4 * strong.cnr)
    assert weak.width == strong.width
    with pytest.raises(ValueError, match=r"`severity` must lie in \(0, 1\], got 1.5"):
        Painter(1.5)
    with pytest.raises(ValueError, match="`families` must name at least one"):
        Painter(families=[])


@pytest.mark.parametrize("level", [0, 128, 255])
def test_something_is_visible_even_on_a_blank_photograph(level):
    for seed in range(8):
        painted = Painter(families=BROUGHT)(np.full((64, 64, 3), level, np.uint8), np.random.default_rng(seed))
        assert painted.mask.any()


def test_where_nothing_can_be_seen_a_family_says_so():
    blank = np.full((64, 64, 1), 128, np.uint8)
    family = next(family for family in FAMILIES if family.kind == "missing_texture")
    with pytest.raises(ValueError, match=r"No visible defect \(missing_texture\) fits on 64 x 64 pixels"):
        Painter(families=[family])(blank, np.random.default_rng(0))


def test_where_a_family_fits_nowhere_another_is_painted():
    blank = np.full((64, 64, 1), 128, np.uint8)
    impossible = next(family for family in FAMILIES if family.kind == "missing_texture")
    crack = next(family for family in FAMILIES if family.kind == "crack")
    kinds = {Painter(families=[impossible, crack])(blank, np.random.default_rng(seed)).kind for seed in range(6)}
    assert kinds == {"crack"}


def test_defects_are_on_the_object():
    hits = []
    for seed in range(40):
        image, where = thing(seed=seed)
        hits.append((Painter()(image, np.random.default_rng(seed)).mask & where).any())
    assert np.mean(hits) >= 0.9


@pytest.mark.parametrize("name", BUILT_IN_TEXTURES)
def test_a_texture_is_not_foreign_to_a_photograph_of_itself(name):
    from skimage import data

    photograph = getattr(data, name)()[200:328, 100:228, None]
    assert set(Foreign().names(Sketch.of(photograph))) == set(BUILT_IN_TEXTURES) - {name}
    assert set(Foreign().names(Sketch.of(texture((64, 64, 1))))) == set(BUILT_IN_TEXTURES)


def test_foreign_textures_of_a_folder_are_used(tmp_path):
    Image.fromarray(texture((128, 128, 3), seed=7)).save(tmp_path / "wood.png")
    family = Foreign(tmp_path)
    assert family.names(Sketch.of(texture((128, 128, 3)))) == ["wood.png"]
    assert Painter(families=[family])(texture((128, 128, 3)), np.random.default_rng(0)).mask.any()
    own = np.asarray(Image.open(tmp_path / "wood.png"))
    with pytest.raises(ValueError, match="holds no texture that is foreign to the photograph; add others"):
        Painter(families=[family])(own, np.random.default_rng(0))


@pytest.mark.parametrize("alpha", [True, False], ids=["alpha", "plain"])
def test_own_crops_are_painted_with_their_outline(tmp_path, alpha):
    """A bar of 12 x 48 pixels: what is painted is as long, wherever it is turned."""
    bar = np.full((24, 60, 3), 120, np.uint8)
    bar[6:18, 6:54] = 30 + np.random.default_rng(0).integers(0, 20, (12, 48, 3), np.uint8)
    opaque = np.where(bar[..., :1] < 80, 255, 0).astype(np.uint8)
    Image.fromarray(np.concatenate([bar, opaque], axis=2) if alpha else bar).save(tmp_path / "dent.png")
    target = DefectStatistics(3, 0.04, 4, 1)
    painter = Painter(families=[OwnCrops(tmp_path)])
    met = painter.paint(texture((256, 256, 1)), np.random.default_rng(1), target)
    assert met.kind == "own"
    assert met.met.elongation == pytest.approx(4, rel=0.25)
    assert met.met.width == pytest.approx(0.04, rel=0.25)


@pytest.mark.parametrize("family", [OwnCrops, Foreign], ids=lambda family: family.__name__)
def test_a_folder_without_images_is_named(family, tmp_path):
    for folder, what in ((tmp_path / "none", "is no folder"), (tmp_path, "holds no image")):
        with pytest.raises(ValueError, match=rf"`folder` of \w+ to paint {what}, got "):
            Painter(families=[family(folder)])(texture((64, 64, 1)), np.random.default_rng(0))


def test_cracks_are_long_and_thin():
    target = DefectStatistics(4, 0.015, 15, 1.5)
    met = Painter().paint(texture((256, 256, 1)), np.random.default_rng(0), target, Crack()).met
    assert met.elongation > 8
    assert met.width < 0.025
