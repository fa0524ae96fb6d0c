"""From an attempt at a task to its outcome: made, judged, told of. Runs in workers and the foreground."""
