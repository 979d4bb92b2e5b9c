"""A model server without a model: vLLM 0.32's protocol and scheduler, computed step times, real code as answers."""
