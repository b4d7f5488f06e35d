"""Defects painted on normal photographs."""
