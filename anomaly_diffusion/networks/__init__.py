"""Networks that know tensors, not diffusion."""
