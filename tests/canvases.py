"""Photographs to paint on: textures, soft scenes of any size, an object in uniform surroundings."""

import cv2
import numpy as np


def texture(size, seed=0):
    """Smooth noise with some grain: like a photograph, it has structure at more than one scale."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(60, 190, (size[0] // 8 + 1, size[1] // 8 + 1, size[2]))
    image = coarse.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]
    return (image + generator.normal(0, 6, size)).clip(0, 255).astype(np.uint8)


def scene(height, width, seed=0):
    """Soft patches of colour with a little grain, as a camera of that many pixels sees them."""
    generator = np.random.default_rng(seed)
    patches = generator.uniform(50, 200, (24, 32, 3)).astype(np.float32)
    image = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return (image + generator.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)


def thing(size=(256, 256), seed=0):
    """A rough grey bar, turned, on a light ground whose brightness falls off; and where the bar is."""
    generator = np.random.default_rng(seed)
    where = np.zeros(size, np.uint8)
    middle, angle = (size[1] / 2, size[0] / 2), generator.uniform(0, 180)
    corners = cv2.boxPoints((middle, (0.6 * min(size), 0.25 * min(size)), angle))
    cv2.fillPoly(where, [corners.round().astype(np.int32)], 1)
    ground = 190 - 30 * np.linspace(0, 1, size[1])[None] + generator.normal(0, 2, size)
    bar = cv2.GaussianBlur(generator.normal(0, 60, size).astype(np.float32), (0, 0), 1.5) + 90
    return np.where(where > 0, bar, ground).clip(0, 255).astype(np.uint8)[..., None], where > 0
