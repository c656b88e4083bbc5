"""Component of step train."""
