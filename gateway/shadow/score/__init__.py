"""Verdicts for samples: what is run, how often, and what its outcome means."""
