"""How data sets lie in folders: one file per layout."""
