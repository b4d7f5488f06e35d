"""Every refusal says which argument is wrong, what it must be, and what it was."""

import math
import re
from collections.abc import Callable

from frozen_networks import TinyFeatures, random_lpips

from anomaly_diffusion.baselines.strength import Strengths
from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise, OffsetNoise
from anomaly_diffusion.diffusion.objective import MinSNR, Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.patches import PatchedObjective
from anomaly_diffusion.diffusion.pyramid import PyramidNoise
from anomaly_diffusion.diffusion.sampler import DDIM
from anomaly_diffusion.diffusion.schedule import LinearBetaSchedule, ScaledLinearSchedule
from anomaly_diffusion.diffusion.simplex import SimplexNoise
from anomaly_diffusion.diffusion.spectral import PowerLaw, SimplexSpectrum
from anomaly_diffusion.networks.layers import AttentionBlock
from anomaly_diffusion.networks.transformer import DiffusionTransformer
from anomaly_diffusion.networks.unet import DiffusersUNet, UNet
from anomaly_diffusion.reconstruction.adaptive import AdaptiveDepth
from anomaly_diffusion.reconstruction.depths import LogRange
from anomaly_diffusion.reconstruction.guidance import ConstantPull, DDADPull, ResidualPull
from anomaly_diffusion.reconstruction.guided import Guided
from anomaly_diffusion.reconstruction.harmonised import Harmonised
from anomaly_diffusion.reconstruction.inversion import Inversion
from anomaly_diffusion.reconstruction.mask_stitch import MaskStitchResample, Resampling
from anomaly_diffusion.reconstruction.noise_free import NoiseFreeStart
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.patched import PatchedOneShot
from anomaly_diffusion.reconstruction.posterior import PosteriorAverage
from anomaly_diffusion.reconstruction.two_level import TwoLevel
from anomaly_diffusion.scoring.perceptual import FeatureCosineResidual
from anomaly_diffusion.scoring.pooling import TopKMean
from anomaly_diffusion.scoring.residual import GradientSimilarityResidual, L1Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.scoring.smoothing import GaussianSmoothing


def beyond_the_schedule() -> PixelDetector:
    """A detector whose start depth no state of Stable Diffusion's schedule has."""
    parts = UNet(width=8), ScaledLinearSchedule(), VelocityPrediction(), GaussianNoise(), Objective()
    return PixelDetector(*parts, OneShot(depths=(20.0,)), Scoring())


def finer_than_the_schedule() -> PixelDetector:
    """A detector that takes more steps than Stable Diffusion's chain has below its start."""
    parts = UNet(width=8), ScaledLinearSchedule(), VelocityPrediction(), GaussianNoise(), Objective()
    return PixelDetector(*parts, PartialDiffusion((0.5,), steps=300), Scoring())


REFUSALS: list[tuple[Callable[[], object], str, str]] = [
    (lambda: MinSNR(0.0), "`gamma`", "0.0"),
    (lambda: MinSNR(math.nan), "`gamma`", "nan"),
    (lambda: OffsetNoise(math.inf), "`offset`", "inf"),
    (lambda: PyramidNoise(persistence=math.inf), "`persistence`", "inf"),
    (lambda: PyramidNoise(octaves=1000), "`octaves`", "1000"),
    (lambda: SimplexNoise(persistence=math.inf), "`persistence`", "inf"),
    (lambda: SimplexNoise(octaves=1000), "`octaves`", "1000"),
    (lambda: SimplexNoise(feature_size=10**9), "`feature_size`", "1000000000"),
    (lambda: SimplexSpectrum(octaves=1000), "`octaves`", "1000"),
    (lambda: SimplexSpectrum(persistence=math.inf), "`persistence`", "inf"),
    (lambda: Strengths([]), "`strengths`", "none"),
    (lambda: DiffusersUNet(widths=()), "`widths`", "[]"),
    (lambda: DiffusersUNet(widths=(0, 8)), "`widths`", "[0, 8]"),
    (lambda: DiffusersUNet(widths=(8, 12)), "`widths`", "[8, 12]"),
    (lambda: DiffusersUNet(widths=(8, 24), attention=(1,), head_channels=16), "`head_channels`", "16 for [24]"),
    (lambda: DiffusersUNet(groups=0), "`groups`", "0"),
    (lambda: DiffusionTransformer(width=18), "`width`", "18"),
    (lambda: DiffusionTransformer(width=8, heads=3), "`width`", "8"),
    (lambda: DiffusionTransformer(depth=0), "`depth`", "0"),
    (lambda: PatchedObjective(grid=0), "`grid`", "0"),
    (lambda: PatchedOneShot(grid=0), "`grid`", "0"),
    (lambda: Objective(shallowest=0.0), "`shallowest`", "0.0"),
    (lambda: Objective(shallowest=2.0, deepest=1.0), "`deepest`", "1.0"),
    (lambda: DDIM(eta=1.5), "`eta`", "1.5"),
    (lambda: DDIM(eta=-0.5), "`eta`", "-0.5"),
    (lambda: LinearBetaSchedule(first=0.0), "`first`", "0.0"),
    (lambda: LinearBetaSchedule(first=0.5, last=0.1), "`last`", "0.1"),
    (lambda: LinearBetaSchedule(steps=1), "`steps`", "1"),
    (lambda: ScaledLinearSchedule(last=1.0), "`last`", "1.0"),
    (lambda: OneShot(depths=()), "`depths`", "none"),
    (lambda: OneShot(depths=(0.5, -1.0)), "`depths`", "-1.0"),
    (lambda: OneShot(draws=3), "`draws`", "3"),
    (lambda: OneShot(draws=-2), "`draws`", "-2"),
    (lambda: PartialDiffusion(depths=(0.0,)), "`depths`", "0.0"),
    (lambda: PartialDiffusion(steps=0), "`steps`", "0"),
    (lambda: NoiseFreeStart(steps=0), "`steps`", "0"),
    (lambda: NoiseFreeStart(depths=(float("nan"),)), "`depths`", "nan"),
    (lambda: Guided(steps=0), "`steps`", "0"),
    (lambda: Guided(pull=1.5), "`pull`", "1.5"),
    (lambda: Guided(pull=-0.1), "`pull`", "-0.1"),
    (lambda: ConstantPull(1.5), "`rho`", "1.5"),
    (lambda: DDADPull(-1.0), "`weight`", "-1.0"),
    (lambda: DDADPull(math.inf), "`weight`", "inf"),
    (lambda: PowerLaw(math.inf), "`slope`", "inf"),
    (lambda: PowerLaw(1e300), "`slope`", "1e+300"),
    (lambda: LogRange(0.5, math.inf, 3), "`deepest`", "inf"),
    (lambda: LogRange(0.5, 1.0, 10**9), "`count`", "1000000000"),
    (lambda: PartialDiffusion(steps=10**9), "`steps`", "1000000000"),
    (lambda: ResidualPull(tolerance=0.0), "`tolerance`", "0.0"),
    (lambda: ResidualPull(radius=-1), "`radius`", "-1"),
    (lambda: TwoLevel(depths=(0.5, 1.5), deep=1.5), "`deep`", "1.5"),
    (lambda: TwoLevel(pull=2.0), "`pull`", "2.0"),
    (lambda: TwoLevel(draws=3), "`draws`", "3"),
    (lambda: AdaptiveDepth((), 3.0), "`candidates`", "none"),
    (lambda: AdaptiveDepth((0.0,), 3.0), "`candidates`", "0.0"),
    (lambda: AdaptiveDepth((0.5,), 1.0), "`threshold`", "1.0"),
    (lambda: AdaptiveDepth((0.5,), 3.0, radius=-2), "`radius`", "-2"),
    (lambda: LogRange(0.0, 1.0, 3), "`shallowest`", "0.0"),
    (lambda: LogRange(1.0, 0.5, 3), "`deepest`", "0.5"),
    (lambda: LogRange(0.5, 1.0, 1), "`count`", "1"),
    (lambda: MaskStitchResample(depths=(-0.5,)), "`depths`", "-0.5"),
    (lambda: MaskStitchResample(steps=0), "`steps`", "0"),
    (lambda: MaskStitchResample(quantile=1.0), "`quantile`", "1.0"),
    (lambda: MaskStitchResample(quantile=0.0), "`quantile`", "0.0"),
    (lambda: MaskStitchResample(radius=-1), "`radius`", "-1"),
    (lambda: Resampling(share=0.0), "`share`", "0.0"),
    (lambda: Resampling(share=1.5), "`share`", "1.5"),
    (lambda: Resampling(steps=0), "`steps`", "0"),
    (lambda: Resampling(loops=0), "`loops`", "0"),
    (lambda: Harmonised(steps=0), "`steps`", "0"),
    (lambda: Harmonised(fractions=(0.5, 1.0)), "`fractions`", "1.0"),
    (lambda: Harmonised(fractions=(0.2, 0.5)), "`fractions`", "[0.2, 0.5]"),
    (lambda: Harmonised(fractions=(0.5, 0.5)), "`fractions`", "[0.5, 0.5]"),
    (lambda: Inversion(depths=()), "`depths`", "none"),
    (lambda: Inversion(steps=0), "`steps`", "0"),
    (lambda: PosteriorAverage(samples=1), "`samples`", "1"),
    (lambda: PosteriorAverage(steps=0), "`steps`", "0"),
    (lambda: PosteriorAverage(floor=0.0), "`floor`", "0.0"),
    (lambda: UNet(channels=0), "`channels`", "0"),
    (lambda: UNet(width=-8), "`width`", "-8"),
    (lambda: UNet(blocks=0), "`blocks`", "0"),
    (lambda: UNet(patch=0), "`patch`", "0"),
    (lambda: UNet(classes=-1), "`classes`", "-1"),
    (lambda: UNet(multipliers=()), "`multipliers`", "[]"),
    (lambda: UNet(multipliers=(1, 0)), "`multipliers`", "0"),
    (lambda: UNet(attention=(3,)), "`attention`", "3"),
    (lambda: UNet(attention=(-1,)), "`attention`", "-1"),
    (lambda: AttentionBlock(48, head_channels=32), "`head_channels`", "32"),
    (lambda: GaussianSmoothing(-1.0), "`sigma`", "-1.0"),
    (lambda: SSIMResidual(0.0), "`sigma`", "0.0"),
    (lambda: GradientSimilarityResidual(scales=0), "`scales`", "0"),
    (lambda: GradientSimilarityResidual(stability=0.0), "`stability`", "0.0"),
    (lambda: FeatureCosineResidual(TinyFeatures(), scale=0), "`scale`", "0"),
    (lambda: random_lpips(scale=-1), "`scale`", "-1"),
    (lambda: TopKMean(0.0), "`share`", "0.0"),
    (lambda: TopKMean(1.5), "`share`", "1.5"),
    (lambda: Scoring([L1Residual()], weights=[1.0, 2.0]), "`weights`", "2"),
    (lambda: Scoring([L1Residual()], weights=[-1.0]), "`weights`", "-1.0"),
    (lambda: Scoring([L1Residual()], weights=[0.0]), "`weights`", "0.0"),
    (lambda: Scoring(smoothing=-1.0), "`smoothing`", "-1.0"),
    (lambda: Scoring(smoothing=math.inf), "`smoothing`", "inf"),
    (lambda: Scoring(smoothing=math.nan), "`smoothing`", "nan"),
    (lambda: Scoring(calibration_sigma=math.inf), "`calibration_sigma`", "inf"),
    (lambda: Scoring(calibration_sigma=math.nan), "`calibration_sigma`", "nan"),
    (lambda: beyond_the_schedule(), "`reconstruction.depths`", "20.0"),
    (lambda: finer_than_the_schedule(), "`reconstruction.steps`", "300"),
]


def told(make: Callable[[], object]) -> str:
    """The refusal of what cannot be made; nothing where it is made."""
    try:
        make()
    except ValueError as refusal:
        return str(refusal)
    return ""


def test_a_refusal_names_argument_and_value() -> None:
    wrong = []
    for make, argument, value in REFUSALS:
        before, _, got = told(make).rpartition("got ")
        if not (re.search(r"`[\w.]+`.* must ", before) and argument in before and value in got):
            wrong.append((argument, value, told(make)))
    assert wrong == []
