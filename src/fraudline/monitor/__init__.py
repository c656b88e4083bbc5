"""Distributions of features and scores: what training looked like, for drift and skew to be measured against."""
