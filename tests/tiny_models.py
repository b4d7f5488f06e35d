"""One tiny model of each kind, as settings of a run."""

FEATURES = {"class_path": "analytic.TinyFeatures", "init_args": {"stride": 4}}
AUTOENCODER = {"class_path": "ConvAutoencoder", "init_args": {"channels": 4, "widths": [8, 8]}}
LEARNERS = {
    "feature": {
        "class_path": "FeatureDetector",
        "init_args": {
            "features": FEATURES, "components": 4, "views": 2, "objective": {"shallowest": 0.5, "deepest": 4.0},
            "backbone": {"class_path": "UNet", "init_args": {"width": 8, "multipliers": [1, 2], "patch": 1}},
            "reconstruction": {"class_path": "OneShot", "init_args": {"depths": [1.0], "draws": 2}},
            "scoring": {
                "residuals": [{"class_path": "MahalanobisResidual"}, {"class_path": "NearestResidual"}],
                "calibration_sigma": 2.0,
            },
        },
    },
    "autoencoder": {
        "class_path": "AutoencoderDetector",
        "init_args": {
            "autoencoder": AUTOENCODER, "scoring": {}, "crop": 16, "adversary": {"class_path": "PatchDiscriminator"}
        },
    },
    "latent": {
        "class_path": "LatentDetector",
        "init_args": {
            "autoencoder": AUTOENCODER, "objective": {"shallowest": 0.2, "deepest": 2.0}, "scoring": {},
            "backbone": {
                "class_path": "UNet", "init_args": {"width": 8, "multipliers": [1, 2], "patch": 1, "channels": 4}
            },
            "noise": "GaussianNoise", "reconstruction": {"class_path": "OneShot", "init_args": {"depths": [0.6]}},
        },
    },
    "patchcore": {"class_path": "anomaly_diffusion.baselines.patchcore.PatchCore", "init_args": {"features": FEATURES}},
}  # fmt: skip
