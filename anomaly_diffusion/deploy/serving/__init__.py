"""An inspector behind HTTP: photographs come in by POST, verdicts go out as JSON."""
