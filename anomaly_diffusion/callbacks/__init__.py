"""Lightning callbacks: what is measured, drawn, averaged and written down while a detector runs."""
