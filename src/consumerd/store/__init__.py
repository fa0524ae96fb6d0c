"""The parking store: where a task waits that its source no longer keeps. Runs in workers and in the store helper."""
