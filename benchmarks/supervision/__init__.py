"""What supervision costs, ours and that of peers in the same run: `python -m benchmarks supervision`."""
