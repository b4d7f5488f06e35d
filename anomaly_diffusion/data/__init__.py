"""Photographs: where they lie, how they are read, split, framed, painted and batched."""
