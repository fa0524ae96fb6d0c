"""Asking a child process, which runs user code so that the process that asks never does."""
