"""What the master decides, pure: from how the pools should be and how they are."""
