"""The version of consumerd; both ends of a channel compare it before they talk."""

__version__ = "0.1.0"
