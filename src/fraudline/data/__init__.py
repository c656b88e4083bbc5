"""Transactions and labels: schema, generator, importers, store, expectation suite and time splits."""
