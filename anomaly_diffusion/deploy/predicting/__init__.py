"""What `predict` asks of whatever judges: a finished run, or an exported file, which needs no torch."""
