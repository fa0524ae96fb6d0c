"""`consumerd top`: pools and their workers, live, in the terminal; and keys to act."""
