"""The generated world: its population, the habits of its cards, and the campaigns of its fraudsters."""
