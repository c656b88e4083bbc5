"""What the endpoint is measured with: contestants, load, and a section each."""
