"""Families of defects, one file each: how a defect of a given form looks."""
