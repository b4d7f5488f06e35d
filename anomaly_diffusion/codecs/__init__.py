"""Where diffusion runs: pixels, latents or features."""
