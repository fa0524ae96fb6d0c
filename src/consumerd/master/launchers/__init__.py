"""Launchers: how a pool's processes come to be. On this machine today; the contract leaves the place for others."""
