"""The consumers of GOP, the example that consumerd's documents speak of."""
