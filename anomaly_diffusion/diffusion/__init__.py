"""The mathematics of diffusion: noise, noise schedules, parametrisations and samplers; no Lightning."""
