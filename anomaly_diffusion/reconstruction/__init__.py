"""Reconstruction strategies: how a normal image is found with a denoiser."""
