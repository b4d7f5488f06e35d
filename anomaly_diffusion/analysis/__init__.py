"""Pure functions over results: controls, tables, figures and how they reach the disk."""
