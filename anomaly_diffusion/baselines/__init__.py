"""Methods to measure up to: classical ones, and Stable Diffusion."""
