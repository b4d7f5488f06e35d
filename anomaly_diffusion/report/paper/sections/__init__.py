"""The parts of a report: each draws its figures from the runs of a study, or says that it cannot."""
