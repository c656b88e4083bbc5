"""What the performance and quality claims are made with; each module is one command."""
