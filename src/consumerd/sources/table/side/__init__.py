"""Claims beside a table that has no columns for them: a second table, by the same key."""
