"""The pure core: values and decisions. No I/O, no process, no clock of its own."""
