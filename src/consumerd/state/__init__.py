"""The state directory: its files, the locks on it, and what kind of place it is."""
