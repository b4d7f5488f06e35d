"""A Stable Diffusion 1.5 so small that it is written in a moment: random weights, in the files of the real one."""

import json
from pathlib import Path
from typing import Any

import torch

from anomaly_diffusion.baselines.pipeline import library

__all__ = ["write"]

_WORDS = ("photo", "of", "flawless")  # each becomes one token; all else is spelt
_START, _END = "<|startoftext|>", "<|endoftext|>"
_TOKENS = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": _END}


def write(folder: Path, seed: int = 0) -> None:
    """Write a pipeline in the format of diffusers, with random weights.

    Args:
        folder: where to; made if missing.
        seed: of the weights.

    Raises:
        ImportError: transformers is not installed.
        FileExistsError: the folder holds something already.
    """
    transformers, diffusers = library("transformers"), library("diffusers")
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"The folder {folder} is not empty. Name a new one.")
    vocabulary = _write_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        diffusers.StableDiffusionPipeline(
            vae=_vae(diffusers),
            text_encoder=_text_encoder(transformers, vocabulary),
            tokenizer=transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            unet=_unet(diffusers),
            scheduler=_scheduler(diffusers),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)
    settings = folder / "scheduler" / "scheduler_config.json"
    _dump(settings, {**json.loads(settings.read_text(encoding="utf-8")), "clip_sample": False})


def _vae(diffusers: Any) -> Any:
    """Four levels, as the real one has: 8 pixels to a latent."""
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.18215,
    ).eval()


def _unet(diffusers: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=16,
        norm_num_groups=4,
    ).eval()


def _scheduler(diffusers: Any) -> Any:
    """The one that Stable Diffusion 1.5 is published with; its file says `clip_sample` too, for other schedulers."""
    return diffusers.PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        set_alpha_to_one=False,
        skip_prk_steps=True,
        steps_offset=1,
    )


def _text_encoder(transformers: Any, vocabulary: int) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=16,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return transformers.CLIPTextModel(config).eval()


def _write_tokenizer(folder: Path) -> int:
    """Vocabulary and merges in the order of CLIP: bytes, bytes that end a word, merges, the two marks; their number."""
    letters = sorted(library("tokenizers").pre_tokenizers.ByteLevel.alphabet())
    merges = list(dict.fromkeys(merge for word in _WORDS for merge in _merges(word)))
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges), _START, _END]
    folder.mkdir(parents=True, exist_ok=True)
    _dump(folder / "vocab.json", {token: number for number, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(merge) for merge in merges)]) + "\n")
    _dump(folder / "special_tokens_map.json", _TOKENS)
    _dump(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **_TOKENS})
    return len(tokens)


def _merges(word: str) -> list[tuple[str, str]]:
    """From the first letter to the whole word, one letter at a time."""
    pieces = [*word[:-1], f"{word[-1]}</w>"]
    return [("".join(pieces[:end]), pieces[end]) for end in range(1, len(pieces))]


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")
