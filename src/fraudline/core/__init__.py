"""Errors, settings, typed identifiers, clock, digests and atomic files: what every other layer stands on."""
