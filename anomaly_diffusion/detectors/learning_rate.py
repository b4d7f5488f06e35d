"""Learning-rate schedule, warm-up then cosine, of every run whose config names no other."""

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["warmup_then_cosine"]


def warmup_then_cosine(optimizer: Optimizer, steps: int | float, warmup: int = 30) -> LambdaLR:
    """A linear rise over the first steps, half the run at full rate, then half a cosine down to 2 %.

    Args:
        optimizer: whose rates are scaled.
        steps: optimiser steps of the whole run, >= 0; infinite where only time ends it: then the rate does not fall.
        warmup: steps of the rise.
    """
    return LambdaLR(optimizer, partial(_factor, steps=steps, warmup=warmup))


def _factor(step: int, steps: int | float, warmup: int) -> float:
    fall = min(1.0, max(0.0, 2 * step / max(1, steps) - 1))
    return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * fall)))
