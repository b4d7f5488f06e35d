"""Baselines: PaDiM, PatchCore, WinCLIP, InvAD, and Stable Diffusion."""
