"""The names of OpenTelemetry events and their attributes: of the GenAI conventions, and ours."""

from __future__ import annotations

# The conventions for generative AI, in development, have moved to a repository of their own. There the event has the
# same attributes as in the last release of the general ones that has it: this one.
CONVENTIONS = "https://opentelemetry.io/schemas/1.41.1"

EVALUATION_RESULT = "gen_ai.evaluation.result"

EVALUATION_NAME = "gen_ai.evaluation.name"
SCORE_VALUE = "gen_ai.evaluation.score.value"
SCORE_LABEL = "gen_ai.evaluation.score.label"
EXPLANATION = "gen_ai.evaluation.explanation"
RESPONSE_ID = "gen_ai.response.id"
ERROR_TYPE = "error.type"

MODEL = "yardstick.model.name"
FAMILY = "yardstick.model.family"
REVISION = "yardstick.model.revision"
SUITE = "yardstick.suite"
TASK = "yardstick.task.id"
CATEGORIES = "yardstick.task.categories"
FORM = "yardstick.form"
EVIDENCE = "yardstick.evidence"
VERDICT = "yardstick.verdict"
LEVEL = "yardstick.sandbox.level"
SECONDS = "yardstick.seconds"
