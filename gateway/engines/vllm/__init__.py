"""vLLM as a model server of ours: its command line, and starting it."""
