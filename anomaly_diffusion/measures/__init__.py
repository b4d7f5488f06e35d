"""Pure functions over images and maps: controls, fidelity, spectra, texture, failures."""
