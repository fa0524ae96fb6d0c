"""What goes between processes: messages, their framing, the board, the control client. No pickle."""
