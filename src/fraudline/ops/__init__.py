"""What keeps models in order around the pipeline: tracking, registry, gate, model card, provenance and submission."""
