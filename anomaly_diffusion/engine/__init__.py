"""Training and judging: what touches Lightning's insides."""
