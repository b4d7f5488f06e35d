"""Noise bank: costly forward-process noise drawn once, and handed out as random windows."""

import torch
from torch import Generator, Tensor

from anomaly_diffusion.diffusion.noise import NoiseSource
from anomaly_diffusion.types import Images

__all__ = ["NoiseBank"]


class NoiseBank(NoiseSource):
    """Windows at random places, of random sign, in a few large fields without seams: noise at the price of a copy.

    There are count * size^2 * 2 windows, most of which overlap: two fields share pixels with probability
    (2 * image / size)^2 / count, and are independent otherwise. That is enough for training, where the same window
    hardly ever meets the same image twice. The sign makes odd moments vanish, also where those of the source do not.

    The bank takes 4 * count * (size + height)(size + width) bytes per image size and device: 19 MB by the defaults at
    256 x 256 pixels. It is drawn at its first use, from a seed of its own.

    Args:
        source: what the bank is filled with.
        size: height and width of its fields in pixels, at least those of the images.
        count: number of its fields, >= 1.
        seed: decides its contents.
    """

    def __init__(self, source: NoiseSource, size: int = 512, count: int = 8, seed: int = 0) -> None:
        if size < 2:
            raise ValueError(f"`size` must be at least 2, got {size}.")
        if count < 1:
            raise ValueError(f"`count` must be at least 1, got {count}.")
        self.source, self.size, self.count, self.seed = source, size, count, seed
        self._banks: dict[tuple[int, int, torch.device], Tensor] = {}

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        """Fields of the shape, type and device of `like`."""
        images, channels, height, width = like.shape
        bank = self._bank(height, width, like.device)
        home = like.device if generator is None else generator.device
        draws = torch.randint(2**31, (images * channels, 4), generator=generator, device=home).cpu()
        places = (draws % torch.tensor([self.count, self.size, self.size, 2])).tolist()
        fields = torch.empty(images * channels, height, width, device=like.device)
        for field, (number, y, x, sign) in zip(fields, places, strict=True):
            torch.mul(bank[number, y : y + height, x : x + width], 1 - 2 * sign, out=field)
        return fields.reshape(like.shape).to(like.dtype)

    def __getstate__(self) -> dict[str, object]:
        """Copies and pickles carry the settings; each fills its bank anew, alike."""
        return self.__dict__ | {"_banks": {}}

    def _bank(self, height: int, width: int, device: torch.device) -> Tensor:
        """The fields, repeated by as much as a window can hang over their edge."""
        if max(height, width) > self.size:
            raise ValueError(f"`size` must be at least the side of the images, got {self.size} for {height} x {width}.")
        key = height, width, device
        if key not in self._banks:
            within = [torch.arange(self.size + side - 1) % self.size for side in (height, width)]
            self._banks[key] = self._fields()[:, within[0][:, None], within[1]].to(device)
        return self._banks[key]

    def _fields(self) -> Tensor:
        """(count, size, size), each of exactly zero mean and unit variance."""
        margin = max(1, self.size // 4)
        blank = torch.empty(1, self.count, self.size + margin, self.size + margin)
        fields = self.source(blank, Generator().manual_seed(self.seed))[0]
        for dim in (1, 2):
            fields = self._closed(fields, dim, margin)
        fields -= fields.mean((1, 2), keepdim=True)
        return fields / fields.square().mean((1, 2), keepdim=True).sqrt()

    def _closed(self, fields: Tensor, dim: int, margin: int) -> Tensor:
        """Fade what hangs over one edge into the opposite one, at constant variance: cos^2 + sin^2 = 1."""
        fields = fields.movedim(dim, -1)
        angle = torch.arange(margin) / margin * (torch.pi / 2)
        faded = fields[..., :margin] * angle.sin() + fields[..., self.size :] * angle.cos()
        return torch.cat([faded, fields[..., margin : self.size]], dim=-1).movedim(-1, dim)
