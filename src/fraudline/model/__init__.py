"""The model: autoencoder ensemble, thresholds, reasons, and the artifact that carries them.

``artifact``, ``scorer``, ``reasons`` and ``thresholds`` work without TensorFlow; the rest is for training.
"""
