"""A CLIP that knows nothing, in the files that real ones come in: for tests and for trying things out."""

import json
from pathlib import Path

import torch

from anomaly_diffusion.baselines.clip_model import import_transformers, quiet

__all__ = ["write_tiny_clip"]

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = ("a", "photo", "of", "the", "object", "flaw", "defect")  # those that are one token
_IMAGE = {
    "feature_extractor_type": "CLIPFeatureExtractor",
    "do_resize": True,
    "do_center_crop": True,
    "do_normalize": True,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def write_tiny_clip(folder: str | Path, seed: int = 0) -> Path:
    """Write a random CLIP of 4 x 4 patches: weights, tokenizer and image settings, some hundred kilobytes.

    Args:
        folder: where to; made if missing.
        seed: of the weights.

    Returns:
        the folder.

    Raises:
        ImportError: transformers is not installed.
    """
    transformers = import_transformers()
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(path)
    width = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": vocabulary[_START], "eos_token_id": vocabulary[_END], "pad_token_id": vocabulary[_END]}
    text = width | ends | {"vocab_size": len(vocabulary), "max_position_embeddings": 77, "projection_dim": 16}
    vision = width | {"image_size": 32, "patch_size": 8, "projection_dim": 16}
    size = vision["image_size"]
    _write(path / "preprocessor_config.json", _IMAGE | {"size": size, "crop_size": size})
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        transformers.CLIPModel(config).save_pretrained(path)
    return path


def _write_tokenizer(path: Path) -> dict[str, int]:
    """Bytes, with and without the end of a word, and what is merged into `_WORDS`."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    merges = list(dict.fromkeys(merge for word in _WORDS for merge in _merges(word)))
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges), _START, _END]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    _write(path / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (path / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": _END}
    _write(path / "special_tokens_map.json", special)
    _write(path / "tokenizer_config.json", special | {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"})
    return vocabulary


def _merges(word: str) -> list[tuple[str, str]]:
    """Pairs that join the letters of a word from left to right."""
    letters = [*word[:-1], f"{word[-1]}</w>"]
    return [("".join(letters[:end]), letters[end]) for end in range(1, len(letters))]


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
