"""Several tasks of one worker at once: which may start next, what runs them, what becomes of them."""
