"""Export: a detector with all that its verdicts need, in one file."""
