"""fraudline: card fraud detection from versioned transactions to an exactly-once scored stream."""

__version__ = "0.1.0"
