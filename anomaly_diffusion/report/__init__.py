"""Several runs as one page, in HTML and in Markdown."""
