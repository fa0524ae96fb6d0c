"""The worker: loads the user's class, runs its tasks, settles their outcomes. Runs in zygotes, workers, the foreground."""
