"""Strategies: how a healthy image is found with a denoiser."""
