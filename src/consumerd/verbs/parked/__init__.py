"""`consumerd parked`: tasks that wait for their next attempt, or for a person."""
