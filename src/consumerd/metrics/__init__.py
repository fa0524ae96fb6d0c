"""Metrics: the master's numbers as servers of metrics read them. Nothing here runs in the master."""
