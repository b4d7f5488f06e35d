"""Data sets: layouts, decoding of image and mask files, train/validation split, resizing, painted defects, batches."""
