"""Several tasks at once in one worker, beside what one would write by hand, and peers."""
