"""Decoding of image and mask files: formats, bit depth, EXIF orientation, grey or RGB, label values."""
