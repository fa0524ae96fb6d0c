"""One consumer on a topic: our loop and whole command, the bare client's, and other libraries'."""
