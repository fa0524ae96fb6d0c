"""Real servers for tests and benchmarks: found or installed, started once a run, gone with it."""
