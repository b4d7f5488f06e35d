"""From image files to pixels and masks, whatever camera and program they come from."""
