"""Where tasks come from. The contract is in `contract`; each source is a folder, registered by entry point."""
