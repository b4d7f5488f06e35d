import builtins
import json

import pytest
import torch
from analytic import seeded
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from anomaly_diffusion.baselines.clip_model import CLIPNetwork
from anomaly_diffusion.baselines.prompts import Prompts
from anomaly_diffusion.baselines.tiny_clip import write_tiny_clip

transformers = pytest.importorskip("transformers", reason="the extra `baselines` is not installed")
NAME = "openai/clip-vit-base-patch16"
IMAGE = torch.rand(2, 3, 32, 32, generator=seeded()) * 2 - 1  # of the tiny network's own size


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def network(folder):
    return CLIPNetwork(str(folder))


def test_images_and_texts_lie_where_transformers_puts_them(folder, network) -> None:
    theirs = transformers.CLIPModel.from_pretrained(folder).eval()
    tokens = transformers.CLIPTokenizer.from_pretrained(folder)(["a photo of a flaw"], return_tensors="pt")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    mean, spread = (torch.tensor(settings[name])[:, None, None] for name in ("image_mean", "image_std"))
    with torch.no_grad():
        found = theirs(**tokens, pixel_values=((IMAGE + 1) / 2 - mean) / spread)
    torch.testing.assert_close(network.embed(IMAGE), found.image_embeds)
    texts, temperature = network.texts(["a photo of a flaw"])
    torch.testing.assert_close(texts, found.text_embeds)
    torch.testing.assert_close(found.image_embeds @ texts.T / temperature, found.logits_per_image)
    last = F.normalize(found.vision_model_output.last_hidden_state[:, 1:], dim=2)
    torch.testing.assert_close(network.patches(IMAGE).flatten(2).transpose(1, 2), last)


def test_a_window_of_all_patches_is_the_image(folder) -> None:
    network = CLIPNetwork(str(folder), scales=[4])
    torch.testing.assert_close(network.windows(IMAGE)[0].flatten(1), network.embed(IMAGE))


def test_a_window_sees_its_own_patches_and_no_other(network) -> None:
    changed = IMAGE.clone()
    changed[..., 8:16, 16:24] = 1.0  # the patch in row 1, column 2 of 4 x 4
    for scale, before, after in zip((2, 3), network.windows(IMAGE), network.windows(changed), strict=True):
        moved = ((before - after).abs() > 1e-5).any(1)[0]
        rows, columns = torch.meshgrid(torch.arange(len(moved)), torch.arange(len(moved)), indexing="ij")
        holds = (rows <= 1) & (rows + scale > 1) & (columns <= 2) & (columns + scale > 2)
        assert torch.equal(moved, holds)


def test_all_that_is_said_has_unit_length(network) -> None:
    said = [network.embed(IMAGE), network.patches(IMAGE), *network.windows(IMAGE), network.texts(["a", "b c"])[0]]
    for views in said:
        torch.testing.assert_close(views.norm(dim=1), torch.ones_like(views[:, 0]))


def test_the_meaning_of_an_ensemble_is_the_direction_of_the_mean(network) -> None:
    each = torch.cat([network.texts([text])[0] for text in ("a photo", "the flaw of the object", "x")])
    both, _ = network.texts(["a photo", "the flaw of the object", "x"], ["x"])
    torch.testing.assert_close(both, torch.stack([F.normalize(each.mean(0), dim=0), each[2]]))


def test_frames_of_any_size_grey_ones_too_are_seen(network) -> None:
    grey = torch.rand(1, 1, 50, 41, generator=seeded()) * 2 - 1
    assert torch.equal(network.embed(grey), network.embed(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match="`image` must have 1 or 3 channels, got 8"):
        network.embed(torch.zeros(1, 8, 32, 32))


def test_the_network_never_learns_and_is_in_no_checkpoint(network) -> None:
    assert not list(network.parameters())
    assert not network.state_dict()
    assert not network.train().training


@pytest.mark.parametrize("scales", [[], [0], [5]])
def test_windows_that_do_not_fit_are_refused(folder, scales) -> None:
    with pytest.raises(ValueError, match=r"`scales` must lie in 1 to 4.*got"):
        CLIPNetwork(str(folder), scales=scales)


def test_an_absent_model_is_one_message_that_says_where_it_belongs_and_how_to_get_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError) as refusal:
        CLIPNetwork("nobody/no-clip")
    message = str(refusal.value)
    assert "\n" not in message
    assert all(part in message for part in (str(tmp_path), "$ANOMALY_DIFFUSION_WEIGHTS", "hf download nobody/no-clip"))


def test_a_model_is_found_below_the_folder_of_weights(monkeypatch, tmp_path) -> None:
    write_tiny_clip(tmp_path / NAME)
    monkeypatch.setenv("ANOMALY_DIFFUSION_WEIGHTS", str(tmp_path))
    assert CLIPNetwork(NAME).size == 32


def test_without_transformers_the_message_says_what_to_install(monkeypatch) -> None:
    genuine = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("transformers"):
            raise ImportError(name)
        return genuine(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'anomaly-diffusion\[baselines\]'"):
        CLIPNetwork()


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["model.safetensors"], "does not hold a whole CLIP"),
        (["preprocessor_config.json"], "does not hold a whole CLIP"),
        (["vocab.json"], "holds no vocabulary: vocab.json and merges.txt"),
        (["vocab.json", "merges.txt"], "holds no vocabulary: vocab.json and merges.txt"),
    ],
)
def test_a_folder_that_lacks_a_file_is_told(tmp_path, files, told) -> None:
    write_tiny_clip(tmp_path)
    for file in files:
        (tmp_path / file).unlink()
    with pytest.raises(FileNotFoundError, match=told):
        CLIPNetwork(str(tmp_path)).texts(["a"])


def test_weights_of_a_part_are_refused(tmp_path) -> None:
    path = write_tiny_clip(tmp_path) / "model.safetensors"
    save_file(
        {name: value for name, value in load_file(path).items() if "visual_proj" not in name}, path, {"format": "pt"}
    )
    with pytest.raises(ValueError, match=r"holds no weights for 1 parts of CLIP, visual_projection.weight among them"):
        CLIPNetwork(str(tmp_path))


def test_another_kind_of_model_is_refused(tmp_path) -> None:
    write_tiny_clip(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"`name` must be a CLIP, got .*, which is a bert"):
        CLIPNetwork(str(tmp_path))


def test_the_tiny_clip_has_the_files_of_a_real_one(folder) -> None:
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("a Photo of the xyz") == ["a</w>", "photo</w>", "of</w>", "the</w>", "x", "y", "z</w>"]
    pytest.importorskip("torchvision", reason="which the image processor of transformers needs")
    assert transformers.CLIPImageProcessor.from_pretrained(folder).crop_size["height"] == 32


def test_prompts_are_all_states_in_all_templates() -> None:
    normal, anomalous = Prompts("nut", ["{}", "old {}"], ["{} in pieces"], ["a {}.", "the {}."]).sentences()
    assert normal == ["a nut.", "the nut.", "an old nut.", "the old nut."]
    assert anomalous == ["a nut in pieces.", "the nut in pieces."]
    ours = Prompts("screw").sentences()
    assert all("screw" in sentence and "{" not in sentence for sentences in ours for sentence in sentences)
    assert not set(ours[0]) & set(ours[1])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"object_name": " "}, "`object_name` must be a word"),
        ({"normal": []}, "`normal` must be texts with one {} each, got none"),
        ({"templates": ["a photo"]}, "`templates` must be texts with one {} each, got a photo"),
    ],
)
def test_texts_with_no_place_for_the_object_are_refused(options, told) -> None:
    with pytest.raises(ValueError, match=told):
        Prompts(**options)
