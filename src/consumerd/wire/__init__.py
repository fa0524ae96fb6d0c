"""What goes between processes: messages, the board, the control client. No pickle."""
