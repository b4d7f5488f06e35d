"""Report and slides from run files: what a folder of runs holds, drawn and put into the templates of `report/*.typ`."""
