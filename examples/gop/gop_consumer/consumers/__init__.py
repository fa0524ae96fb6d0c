"""The consumer classes, one a module."""
