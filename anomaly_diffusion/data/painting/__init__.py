"""Synthetic defects, painted on normal photographs with exact masks."""
