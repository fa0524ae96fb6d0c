"""The pools: what each of them should be, is and has, how it is acted upon, and what its processes say."""
