"""Logs of the switches under test go to the real standard error, as auditfuse configures it."""

import sys

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_to_standard_error():
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
