"""`tiny_pipeline`: a Stable Diffusion with random weights, to try the commands of its baselines without real ones."""

import sys
from pathlib import Path

__all__ = ["main"]

_HELP = """\
anomaly-diffusion tiny_pipeline: write a tiny Stable Diffusion with RANDOM weights, in the real format.

usage: anomaly-diffusion tiny_pipeline FOLDER

It knows nothing about images. It is good for trying the commands only, in seconds and without a download:
  anomaly-diffusion train --config experiments/baselines/sd15_img2img.yaml \\
      --model.init_args.pipeline.model FOLDER --data.image_size [64,64]"""


def main(arguments: list[str]) -> int:
    """Write the pipeline; 2 if no folder is named."""
    if {"-h", "--help"} & set(arguments):
        print(_HELP)
        return 0
    if len(arguments) != 1 or arguments[0].startswith("-"):
        given = " ".join(arguments) or "none"
        print(f"error: name one folder: anomaly-diffusion tiny_pipeline FOLDER, got {given}", file=sys.stderr)
        return 2
    from anomaly_diffusion.baselines.tiny_stable_diffusion import write

    folder = Path(arguments[0])
    write(folder)
    print(f"{folder}: a tiny Stable Diffusion. Its weights are RANDOM: good for trying the commands, for nothing else.")
    print("Next: anomaly-diffusion train --config experiments/baselines/sd15_img2img.yaml \\")
    print(f"          --model.init_args.pipeline.model {folder} --data.image_size [64,64]")
    return 0
