"""Bytes and YAML to nodes that know where they stand, with their variables filled in."""
