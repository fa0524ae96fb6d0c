"""The five daemons of examples/gop, and the scripts that they were before."""
