"""From maps and scores of normal photographs to p-values, limits, regions, drift and rates; NumPy only."""
