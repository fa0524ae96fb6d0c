"""What a worker does with its tasks: the loop, attempts, retries, parking, suspects."""
