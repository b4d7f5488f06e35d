"""Streaming detection curves: AUROC, average precision, F1-max, AUPRO."""
