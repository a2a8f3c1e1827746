"""Transfers measured beside other ways of using labels, and kept."""
