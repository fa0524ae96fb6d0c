"""What people see of parked tasks, and what they decide: lists, errors, retries, discards, other records."""
