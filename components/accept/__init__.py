"""Component that ends a run whose data or model was refused."""
