"""A SQL database, as all of consumerd uses one: opening, locks, dialects, and what its errors mean."""
