"""The whole loop of renewal, once, on real parts."""
