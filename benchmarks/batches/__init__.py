"""`handle_batch` beside one statement for each record."""
