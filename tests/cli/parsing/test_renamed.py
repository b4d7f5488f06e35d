"""Names of before: refused with the new one where a user writes them, translated where a run has written them."""

import pytest

from anomaly_diffusion.cli import listing, user_errors
from anomaly_diffusion.cli.parsing import renamed

BEFORE = {  # module -> classes that configs could name before the rooms were drawn
    "baselines.adapters": "VAECodec",
    "baselines.clip": "CLIPCodec ZeroShotCLIP",
    "baselines.clip_few_shot": "FewShotCLIP",
    "baselines.clip_residual": "CLIPResidual",
    "baselines.gaussian_by_position": "GaussianByPosition GaussianDetector",
    "baselines.invad": "InvAD",
    "baselines.lora": "LoRADetector",
    "baselines.one_pass": "OnePassDetector",
    "baselines.padim": "PaDiM",
    "baselines.patchcore": "PatchCore",
    "baselines.stable_diffusion": "PromptedDetector StableDiffusionDetector",
    "baselines.strength": "Strengths",
    "baselines.vae_floor": "VAEFloor",
    "callbacks.acceleration": "Acceleration",
    "callbacks.anomaly_metrics": "AnomalyMetrics",
    "callbacks.checkpoint": "BestAndLast",
    "callbacks.denoising_strips": "DenoisingStrips",
    "callbacks.depth_curve": "DepthCurve",
    "callbacks.ema": "EMA",
    "callbacks.failure_analysis": "FailureAnalysis",
    "callbacks.fidelity": "Fidelity",
    "callbacks.finite_loss": "FiniteLoss",
    "callbacks.one_thread": "OneThread",
    "callbacks.residual_maps": "ResidualMaps",
    "callbacks.run_card": "RunCard",
    "callbacks.saturated_overlap": "SaturatedOverlaps",
    "codecs.channels": "RandomChannels",
    "codecs.feature": "FeatureCodec",
    "codecs.latent": "AgainstInput AgainstLatents AgainstRoundTrip LatentCodec",
    "codecs.pixel": "PixelCodec",
    "data.folder": "Folder Images",
    "data.loco": "MVTecLOCO",
    "data.mvtec": "MVTecAD",
    "data.split": "Validation",
    "data.store": "Loading",
    "data.textures": "Textures",
    "data.transforms": "Augmentation",
    "detectors.autoencoder": "AutoencoderDetector",
    "detectors.diffusion": "DiffusionDetector",
    "detectors.feature": "FeatureDetector",
    "detectors.latent": "LatentDetector",
    "detectors.pixel": "PixelDetector",
    "diffusion.noise": "GaussianNoise MixtureNoise OffsetNoise",
    "diffusion.noise_bank": "NoiseBank",
    "diffusion.objective": "ImageWeighting MinSNR Objective TargetWeighting",
    "diffusion.parametrisation": "FlowPrediction ImagePrediction NoisePrediction VelocityPrediction",
    "diffusion.pyramid": "PyramidNoise",
    "diffusion.sampler": "DDIM Heun",
    "diffusion.schedule": "CosineSchedule LinearBetaSchedule ScaledLinearSchedule",
    "diffusion.simplex": "SimplexNoise",
    "diffusion.spectral": "Band PowerLaw SimplexSpectrum SpectralNoise",
    "networks.adversary": "Adversary",
    "networks.autoencoder": "ConvAutoencoder",
    "networks.autoencoder_features": "AutoencoderFeatures",
    "networks.features": "TimmFeatures TorchvisionFeatures",
    "networks.pretrained": "DiffusersAutoencoder TAEF2",
    "networks.shortcut": "LinearShortcut",
    "networks.unet": "DiffusersUNet UNet",
    "reconstruction.adaptive": "AdaptiveDepth",
    "reconstruction.depths": "DepthList LogRange",
    "reconstruction.guidance": "ConstantPull DDADPull RegionPull ResidualPull",
    "reconstruction.guided": "Guided",
    "reconstruction.harmonised": "Harmonised",
    "reconstruction.inversion": "Displacement Inversion LatentNorm",
    "reconstruction.mask_stitch": "MaskStitchResample",
    "reconstruction.noise_free": "NoiseFreeStart",
    "reconstruction.one_shot": "OneShot",
    "reconstruction.partial_diffusion": "PartialDiffusion",
    "reconstruction.posterior": "PosteriorAverage",
    "reconstruction.regeneration": "Regeneration",
    "reconstruction.two_level": "TwoLevel",
    "scoring.adapted": "AdaptedCosineResidual",
    "scoring.mahalanobis": "MahalanobisResidual PositionGaussian",
    "scoring.nearest": "NearestResidual",
    "scoring.perceptual": "FeatureCosineResidual LPIPSResidual",
    "scoring.pooling": "MaxPooling TopKMean",
    "scoring.residual": "GradientSimilarityResidual L1Residual L2Residual SSIMResidual",
    "scoring.scorer": "Scoring",
}
SAVED = """# anomaly-diffusion 0.1.0. The same run again
model:
  class_path: anomaly_diffusion.detectors.feature.FeatureDetector
  init_args: {level: true, scoring: {class_path: anomaly_diffusion.Scoring, init_args: {reach: 2.0}}}
strips: {count: 3}
mine: {class_path: theirs.Thing, init_args: {level: 1}}
"""


def test_every_class_of_before_is_found():
    known = {f"{entry.module}.{entry.name}" for entry in listing.all_classes()}
    for module, names in BEFORE.items():
        for name in names.split():
            path = f"anomaly_diffusion.{module}.{name}"
            assert (renamed.class_path(path) or path) in known, path


def test_what_a_run_has_written_is_translated_and_told_in_a_line(tmp_path):
    path, told = tmp_path / "config.yaml", []
    path.write_text(SAVED)
    content = renamed.read(path, told.append)
    assert content["model"]["class_path"] == "anomaly_diffusion.detectors.feature_detector.FeatureDetector"
    assert content["model"]["init_args"]["normalise_brightness"] is True
    assert content["model"]["init_args"]["scoring"]["init_args"] == {"calibration_sigma": 2.0}
    assert content["trajectories"] == {"count": 3}
    assert content["mine"]["init_args"] == {"level": 1}
    assert len(told) == 1
    assert str(path) in told[0]


@pytest.mark.parametrize(
    ("before", "now"), [("false", None), ("true", {"class_path": "anomaly_diffusion.codecs.latent.AgainstRoundTrip"})]
)
def test_a_setting_whose_values_are_others_now_keeps_its_meaning(tmp_path, before, now):
    path = tmp_path / "config.yaml"
    owner = "anomaly_diffusion.baselines.stable_diffusion.StableDiffusionDetector"
    path.write_text(f"# anomaly-diffusion 0.1.0\nmodel: {{class_path: {owner}, init_args: {{round_trip: {before}}}}}\n")
    assert renamed.read(path)["model"]["init_args"] == {"against": now}


def test_what_a_user_has_written_is_left_to_be_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SAVED.partition("\n")[2])
    assert "strips" in renamed.read(path)


@pytest.mark.parametrize(
    ("message", "new"),
    [
        ("unrecognized arguments: --strips.count=2", "`strips.count` is called `trajectories.count` now."),
        (
            "Problem with given class_path 'anomaly_diffusion.networks.adversary.Adversary'",
            "anomaly_diffusion.networks.patch_discriminator.PatchDiscriminator` now.",
        ),
        (
            "Problem with given class_path 'anomaly_diffusion.scoring.scorer.Scoring': Option 'reach' is not accepted",
            "`reach` of Scoring is called `calibration_sigma` now.",
        ),
    ],
)
def test_a_message_gives_the_new_name(message, new):
    assert str(user_errors.usage(message, ())).endswith(new)
