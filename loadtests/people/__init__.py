"""Locust users that behave like people who write code. They speak HTTP and import nothing else of this repository."""
