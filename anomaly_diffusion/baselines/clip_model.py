"""CLIP: a frozen network that sees images, and sliding windows of them, as it understands texts."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.networks.buffers import freeze, identity
from anomaly_diffusion.networks.weights import WEIGHTS_VARIABLE
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images, Maps

__all__ = ["DEFAULT_CLIP", "CLIPNetwork", "harmonic_mean", "import_transformers", "overlap_mean", "quiet"]

DEFAULT_CLIP = "openai/clip-vit-base-patch16"
_CHUNK = 1024  # windows, or sentences, that pass together: more of them only take more memory
_BYTES = 256  # of which every vocabulary is made
_MEAN, _STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)  # of the pixels CLIP has seen, if not told


class CLIPNetwork(Configured, nn.Module):
    """The image tower of a CLIP of transformers; all that it says has unit length.

    A window is seen by leaving out the patches outside it, before the transformer: it costs as much as it is large.

    Reference: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (CLIP), 2021;
    windows as in Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", 2023, section 4.2.

    Differs from the paper: the CLIP is any of transformers; images of another size than it takes are interpolated
    bicubically to a square.

    Args:
        name: on the Hugging Face hub, downloaded before; or a folder with a CLIP, here or below
            $ANOMALY_DIFFUSION_WEIGHTS.
        scales: sides of the windows, in patches, >= 1; the paper's are 2 and 3.

    Raises:
        ImportError: transformers is not installed.
        FileNotFoundError: the model is not on this machine.
        ValueError: it is no CLIP, or has fewer patches than a window.
    """

    mean: Tensor
    std: Tensor

    ignored = frozenset({"name"})

    def __init__(self, name: str = DEFAULT_CLIP, scales: Sequence[int] = (2, 3)) -> None:
        super().__init__()
        model, colours = _load(name), _colours(name)
        config = model.config.vision_config
        self.size, self.side = config.image_size, config.image_size // config.patch_size
        if not scales or not all(1 <= scale <= self.side for scale in scales):
            raise ValueError(
                f"`scales` must lie in 1 to {self.side}, the patches along a side of {name}, got {list(scales)}."
            )
        self.scales, self._name = tuple(scales), name
        self._parts = nn.ModuleDict({"tower": model.vision_model, "projection": model.visual_projection})
        freeze(self._parts)
        self.identity = identity(self._parts)["weights"]
        for buffer, values in zip(("mean", "std"), colours, strict=True):
            self.register_buffer(buffer, torch.tensor(values)[:, None, None], persistent=False)
        self.eval()

    @property
    def settings(self) -> dict[str, Any]:
        """The scales of windows, and a digest of the weights."""
        return {**super().settings, "weights": self.identity}

    def train(self, mode: bool = True) -> "CLIPNetwork":
        """Stay in evaluation."""
        return super().train(False)

    def embed(self, image: Images) -> Float[Tensor, "B E"]:
        """Whole images, where texts are as well."""
        return self._projected(self._tokens(image))

    def patches(self, image: Images) -> Float[Tensor, "B D g g"]:
        """Patches as the last layer leaves them, which is not where texts are."""
        last: Tensor = self._tower.encoder(inputs_embeds=self._tokens(image)).last_hidden_state
        return F.normalize(last[:, 1:], dim=2).transpose(1, 2).reshape(len(image), -1, self.side, self.side)

    def windows(self, image: Images) -> list[Float[Tensor, "B E w w"]]:
        """All windows of each scale, one patch from one to the next, where texts are as well."""
        hidden = self._tokens(image)
        return [self._windows(hidden, scale) for scale in self.scales]

    @torch.no_grad()
    def texts(self, *groups: Sequence[str]) -> tuple[Float[Tensor, "N E"], float]:
        """Mean embedding of each group of sentences, and CLIP's own temperature; the text tower is not kept."""
        model, tokenizer = _load(self._name), _tokenizer(self._name)
        means = [_mean_text(model, tokenizer, sentences) for sentences in groups]
        return F.normalize(torch.stack(means), dim=1), float(torch.exp(-model.logit_scale))

    @property
    def _tower(self) -> Any:
        return self._parts["tower"]

    def _tokens(self, image: Images) -> Float[Tensor, "B 1+P D"]:
        """What the transformer is given: a token for all, and one for each patch of the image at CLIP's size."""
        if image.shape[1] not in (1, 3):
            raise ValueError(f"CLIP sees pixels: `image` must have 1 or 3 channels, got {image.shape[1]}.")
        colour = (image.expand(-1, 3, -1, -1) + 1) / 2
        if colour.shape[-2:] != (self.size, self.size):
            colour = F.interpolate(colour, size=(self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
        tokens: Tensor = self._tower.pre_layrnorm(self._tower.embeddings((colour - self.mean) / self.std))
        return tokens

    def _windows(self, hidden: Tensor, scale: int) -> Float[Tensor, "B E w w"]:
        places = torch.arange(1, 1 + self.side**2, device=hidden.device).reshape(self.side, self.side)
        inside = places.unfold(0, scale, 1).unfold(1, scale, 1).reshape(-1, scale**2)  # (windows, patches)
        chosen = F.pad(inside, (1, 0))  # the token for all is the first
        seen = [self._projected(part) for part in hidden[:, chosen].flatten(0, 1).split(_CHUNK)]
        count = self.side - scale + 1
        return torch.cat(seen).reshape(len(hidden), count, count, -1).movedim(3, 1)

    def _projected(self, hidden: Tensor) -> Float[Tensor, "N E"]:
        pooled = self._tower.post_layernorm(self._tower.encoder(inputs_embeds=hidden).last_hidden_state[:, 0])
        return F.normalize(self._parts["projection"](pooled), dim=1)


def overlap_mean(windows: Maps, scale: int) -> Maps:
    """Mean, at each patch, over the windows that hold it.

    Args:
        windows: a value for each window, one patch from one to the next.
        scale: side of the windows, in patches.
    """
    total, count = (
        F.avg_pool2d(F.pad(values, (scale - 1,) * 4), scale, stride=1) for values in (windows, torch.ones_like(windows))
    )
    return total / count


def harmonic_mean(windows: Maps, scale: int) -> Maps:
    """Harmonic mean over the same: one window that finds nothing counts for more than one that does.

    mean = count / sum(1 / window)

    Reference: Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", 2023, section 4.2.

    Differs from the paper: nothing.
    """
    return 1 / overlap_mean(1 / windows, scale)


def _mean_text(model: Any, tokenizer: Any, sentences: Sequence[str]) -> Tensor:
    longest = model.config.text_config.max_position_embeddings
    found = []
    for start in range(0, len(sentences), _CHUNK):
        part = list(sentences[start : start + _CHUNK])
        tokens = tokenizer(part, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        pooled = model.text_model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).pooler_output
        found.append(F.normalize(model.text_projection(pooled), dim=1))
    return torch.cat(found).mean(0)


def _load(name: str) -> Any:
    transformers = import_transformers()
    kind = _read(name, lambda place: transformers.CLIPConfig.get_config_dict(place, local_files_only=True)[0])
    if kind.get("model_type") != "clip":
        raise ValueError(f"`name` must be a CLIP, got {name}, which is a {kind.get('model_type', 'folder')}.")

    load = transformers.CLIPModel.from_pretrained
    with quiet():
        model, found = _read(name, lambda place: load(place, local_files_only=True, output_loading_info=True))
    if found["missing_keys"]:
        absent = sorted(found["missing_keys"])
        raise ValueError(f"{name} holds no weights for {len(absent)} parts of CLIP, {absent[0]} among them.")
    return model.float().eval()


def _tokenizer(name: str) -> Any:
    load = import_transformers().CLIPTokenizer.from_pretrained
    try:
        tokenizer = _read(name, lambda place: load(place, local_files_only=True))
    except ValueError:  # one of the two files is absent
        tokenizer = ()
    if len(tokenizer) < _BYTES:  # transformers makes an empty one where there is none of them
        raise FileNotFoundError(f"{name} holds no vocabulary: vocab.json and merges.txt. Run again: hf download {name}")
    return tokenizer


def _colours(name: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of pixels in [0, 1], from the file that the model comes with."""
    from transformers.image_processing_base import ImageProcessingMixin

    told = _read(name, lambda place: ImageProcessingMixin.get_image_processor_dict(place, local_files_only=True)[0])
    return told.get("image_mean", _MEAN), told.get("image_std", _STD)


def import_transformers() -> Any:
    """The library itself.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise ImportError("transformers is not installed. Run: pip install 'anomaly-diffusion[baselines]'") from None
    return transformers


@contextmanager
def quiet() -> Iterator[None]:
    """No bars of progress from transformers: a second is not worth them."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _read(name: str, read: Callable[[str], Any]) -> Any:
    """What `read` finds in the model's folder or in the cache; nothing is downloaded, and one message says so."""
    below = Path(os.environ.get(WEIGHTS_VARIABLE, ""), name)
    place = str(below) if WEIGHTS_VARIABLE in os.environ and below.is_dir() and not Path(name).is_dir() else name
    try:
        return read(place)
    except (OSError, SafetensorError) as error:
        if Path(place).is_dir():
            reason = str(error).strip().splitlines()[0][:160]
            raise FileNotFoundError(f"The folder {place} does not hold a whole CLIP: {reason}") from None
        from huggingface_hub.constants import HF_HUB_CACHE

        raise FileNotFoundError(
            f"CLIP {name} is not on this machine: neither in {HF_HUB_CACHE}, nor as a folder here or below "
            f"${WEIGHTS_VARIABLE}. Run once, online: hf download {name}"
        ) from None
