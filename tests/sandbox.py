"""Temporal's sandbox, in which tests run and replay the workflows: it notices who asks for the time, for luck or for a file."""

from __future__ import annotations

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions


def sandbox() -> SandboxedWorkflowRunner:
    """Workflows see our messages as they are; everything else is kept out of reach of clocks and chance."""
    passed = SandboxRestrictions.default.with_passthrough_modules("activities.messages", "pydantic", "structlog")
    return SandboxedWorkflowRunner(restrictions=passed)
