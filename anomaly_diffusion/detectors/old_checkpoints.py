"""Checkpoints of before: names of tensors that have changed, and the text that calibrations belonged to.

Until settings were recorded, a checkpoint said under "judgement" what its calibration belonged to: classes and public
attributes of noise, strategy, codec and scoring, as they were then. Such a calibration is taken if, and only if, this
detector gives that very text; attributes and classes that have changed are told by the names they had then, and a test
holds texts of that time against this. What the text never told (smoothing but for its radius, schedule, features)
counts as unchanged, as it did then. A checkpoint that tells neither is calibrated anew.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["described", "is_compatible", "renamed"]

_TENSORS = {"codec.spread": "codec.std", "spread": "std"}
_ATTRIBUTES = {"calibration_sigma": "reach", "normalise_brightness": "level"}
_WALK = ("sampler", "PartialDiffusion", "walk", ("start", "steps", "sampler"))
_HELD = {
    **dict.fromkeys(("Guided", "MaskStitchResample", "PosteriorAverage"), _WALK),
    "TwoLevel": ("draws", "OneShot", "shot", ("start", "draws")),
}
_PARTS: dict[str, Callable[[Any], Sequence[object]]] = {
    "PromptedDetector": lambda one: (one.noise, one.reconstruction, [*one.identity, _round_trip(one.codec.against)]),
    "DiffusionDetector": lambda one: (one.noise, one.reconstruction),
    "VAEFloor": lambda one: (one.identity,),
    "PaDiM": lambda one: ((one.codec.components, one.codec.seed),),
    "PatchCore": lambda one: (one.memory, one.neighbours),
    "FewShotCLIP": lambda one: (one.network, one.prompts, one.temperature, one.shots, one.seed),
    "ZeroShotCLIP": lambda one: (one.network, one.prompts, one.temperature),
}
_CODECS: dict[str, Callable[[Any], dict[str, object]]] = {
    "FeatureCodec": lambda codec: {"level": codec.normalise_brightness},
    "LatentCodec": lambda codec: {"autoencoder": codec.identity, "against": type(codec.against).__name__},
}


def renamed(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The same tensors by the names they have now."""
    return {_TENSORS.get(name, name): tensor for name, tensor in state_dict.items()}


def is_compatible(checkpoint: Mapping[str, Any], detector: Any) -> bool:
    """Whether a checkpoint without recorded settings was calibrated for those of `detector`."""
    parts = (*_by_class(_PARTS, detector, ()), _by_class(_CODECS, detector.codec, {}), detector.scoring)
    text = " ".join(described(part) for part in parts)
    if (lora := getattr(detector, "lora", None)) is not None:
        text += f" LoRA x {detector.lora_weight * lora.alpha / lora.rank}"
    return bool(checkpoint.get("judgement") == text)


def described(value: Any) -> str:
    """Class and public attributes of `value` and of all it holds, as they were told then."""
    if isinstance(value, Tensor):
        return str(value.tolist())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {described(item)}" for key, item in value.items()) + "}"
    if isinstance(value, nn.ModuleList) or (isinstance(value, Sequence) and not isinstance(value, str)):
        return "[" + ", ".join(described(item) for item in value) + "]"
    if isinstance(value, torch.device | torch.dtype) or not hasattr(value, "__dict__"):
        return repr(value)
    inside = vars(value) | (dict(value.named_children()) if isinstance(value, nn.Module) else {})
    added = getattr(value, "added", {})  # later, and told only where it changes something
    public = {
        _ATTRIBUTES.get(name, name): item
        for name, item in inside.items()
        if name[0] != "_" and name != "training" and not (name in added and added[name] == item)
    }
    name = type(value).__name__
    return name + described(_as_then(name, public))


def _as_then(name: str, public: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a strategy that held another one then, and is one now or asks its function."""
    if name not in _HELD:
        return public
    last, held, key, parts = _HELD[name]
    told = _Told(held + described({part: public[part] for part in parts}))
    return {key if part == last else part: told if part == last else item for part, item in public.items()}


def _round_trip(against: object) -> bool | str:
    """What was an option of Stable Diffusion; a comparison that it had not is told by its name."""
    name = type(against).__name__
    return {"AgainstInput": False, "AgainstRoundTrip": True}.get(name, name)


class _Told:
    """Text that is told as it is."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _by_class(table: Mapping[str, Callable[[Any], Any]], one: object, otherwise: Any) -> Any:
    tell = next((table[cls.__name__] for cls in type(one).__mro__ if cls.__name__ in table), None)
    return otherwise if tell is None else tell(one)
