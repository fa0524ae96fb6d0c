"""What operators ask of a running master, and what they are shown."""
