"""Which rows of a claimed table are claimed next: what is due longest, or rows in turn, by priority and tenant."""
