"""One file per verb, and what the verbs share: arguments, run folders, loggers."""
