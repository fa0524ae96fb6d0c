"""The configuration: its shape, how it is loaded and checked. One shape, written as TOML, JSON or a Python object."""
