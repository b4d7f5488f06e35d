"""Which warnings nobody needs to see."""

import logging
import warnings

__all__ = ["quieten"]

_HARMLESS = (  # warnings about choices that are ours, not the user's
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    "Found .* module.s. in eval mode at the start of training.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*`srun` command is available.*",
    "Using `DistributedSampler` with the dataloaders.*",  # images that it repeats are counted once
    "The dirpath has changed from .*",
    ".*is smaller than the logging interval.*",
    ".*configure_optimizers` will be overridden.*",
    r"(?s).*(removed in v5|JsonargparseDeprecationWarning)",  # what LightningCLI calls
)


def quieten() -> None:
    """Silence Lightning's tips and the warnings nobody can act on; everything else stays."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _HARMLESS:
        warnings.filterwarnings("ignore", message=message)
