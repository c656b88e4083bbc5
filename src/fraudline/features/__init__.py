"""The one feature definition: specification, kernel, engine and merchant profiles, the same in batch and stream."""
