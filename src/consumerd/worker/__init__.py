"""The worker: loads a class, runs its tasks, settles their outcomes. Runs in zygotes, workers, the foreground."""
