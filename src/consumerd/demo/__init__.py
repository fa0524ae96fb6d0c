"""The demo: the main job on the embedded default, with a worker killed half-way. Runs in the command line."""
