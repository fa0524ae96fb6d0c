"""What the master looks at in each turn, or when its time has come, before it plans: each duty has a module."""
