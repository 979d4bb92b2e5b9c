"""A model server without a model: vLLM 0.32's protocol and scheduler, computed step times, real code as answers."""

from gateway.engines.simulated.app import build_app, run
from gateway.engines.simulated.settings import SimulatedSettings

__all__ = ["SimulatedSettings", "build_app", "run"]
