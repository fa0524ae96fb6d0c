"""The helper of limits: what needs a database. Runs in a process of its own, which the master executes."""
