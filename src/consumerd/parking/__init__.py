"""The parking store: what it keeps, its statements, and the processes and threads that speak to it."""
