import torch
from analytic import seeded

from anomaly_diffusion.codecs.codec import PixelCodec

IMAGE = torch.rand(2, 3, 8, 9, generator=seeded()) * 2 - 1


def test_the_pixel_codec_decodes_what_it_encodes() -> None:
    codec = PixelCodec()
    assert torch.equal(codec.decode(codec.encode(IMAGE)), IMAGE)


def test_no_decoded_pixel_leaves_the_range_of_images() -> None:
    decoded = PixelCodec().decode(3 * IMAGE)
    assert decoded.min() == -1
    assert decoded.max() == 1
    inside = (3 * IMAGE).abs() < 1
    assert torch.equal(decoded[inside], 3 * IMAGE[inside])
