"""What the master asks of the machine that it runs on, and what the machine tells it."""
