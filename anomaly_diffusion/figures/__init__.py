"""Pictures: contact sheets, trajectories and charts; they draw records and read no files."""
