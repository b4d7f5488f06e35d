"""A page in a browser: photographs, maps and regions, and what a test set says at any limit."""
