"""What a sweep is and how its runs are carried out."""
