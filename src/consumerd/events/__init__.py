"""Facts, in the past tense, and those who listen: the log today, metrics and traces beside it."""
