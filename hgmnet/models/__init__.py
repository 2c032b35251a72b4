"""The network and its gate."""
