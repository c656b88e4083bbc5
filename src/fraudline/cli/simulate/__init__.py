"""``fraudline simulate``: a year of the whole loop on a virtual clock."""
