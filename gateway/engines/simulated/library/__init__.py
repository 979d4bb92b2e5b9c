"""The code that a simulated model answers with. Each file is one answer, is tested, and is sent as it stands."""
