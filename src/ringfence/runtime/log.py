"""Logging: structlog, once per process.

Event names are constant, data goes into keywords, identifiers instead of objects, never a secret. On a terminal for people, as
JSON lines elsewhere. Libraries that use `logging` come out of the same pipe. Pure code never logs.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ringfence.base.secret import Secret

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up_logging(role: str, *, style: Literal["auto", "json", "console"], level: str) -> None:
    """Send everything to stderr, each line with time, level and role."""
    terminal = sys.stderr.isatty() if style == "auto" else style == "console"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer()] if terminal else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()  # noqa: TID251  # The one owner.
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    # The bus reports what matters of nats-py in its own words; the rest of what libraries say is for debugging.
    for chatty in ("nats", "psycopg.pool", "httpx", "httpcore", "asyncio", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(_LEVELS[level] if level == "debug" else logging.ERROR)  # noqa: TID251
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: "***" if isinstance(value, Secret) else value for key, value in event.items()}
