"""Drills: something is broken for real, the doctor names it, and what it advises ends it."""
