"""The run folder: its layout, what a run has left in it, and runs compared with each other."""
