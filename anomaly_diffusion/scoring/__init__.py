"""From image and reconstruction to calibrated anomaly maps and scores."""
