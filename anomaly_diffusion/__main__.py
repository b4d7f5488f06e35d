"""Lets `python -m anomaly_diffusion` do what `anomaly-diffusion` does."""

import sys

from anomaly_diffusion.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
