"""Lightning modules: wiring only."""
