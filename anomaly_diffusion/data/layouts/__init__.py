"""Data set layouts: which files are training and test images, masks and kinds of defects; one file per layout."""
