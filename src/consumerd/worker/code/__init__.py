"""A consumer's code: from its entry in the configuration to its class, its source's kind and its options."""
