"""The tables among the common keys, and which keys cannot be together."""
