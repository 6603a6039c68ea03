"""The command line of a delivery."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import httpx
import structlog

from extract.errors import ConfigurationError, PipelineError, SourceRefused, SourceUnavailable
from extract.pace import Sleep
from infra.delivery.google_api import google_api
from infra.delivery.job import COMPARED_TABLES, JobDelivery
from infra.delivery.service import ServiceDelivery
from infra.delivery.settings import Delivery, image_by_digest

DONE, FAILED, USAGE = 0, 1, 2


def main(
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = time.sleep,
    transport: httpx.BaseTransport | None = None,
) -> int:
    """Run one command and return its exit status: 0 done, 1 failed or taken back, 2 bad usage or configuration."""
    options = _parser().parse_args(arguments)
    _configure_logs(options.command)
    log = structlog.get_logger()
    try:
        settings = Delivery.from_environment(environment)
        image = image_by_digest(options.image) if hasattr(options, "image") else ""
        with google_api(settings, clock, sleep, transport) as api:
            match options.command:
                case "service":
                    ServiceDelivery(api).deliver(image)
                case "rollback-service":
                    ServiceDelivery(api).roll_back()
                case "job":
                    JobDelivery(api).deliver(image, options.accept_changes)
                case "rollback-job":
                    JobDelivery(api).roll_back()
    except ConfigurationError as error:
        log.error("refused", reason=str(error))  # noqa: TRY400 The reason is the whole story.
        return USAGE
    except (PipelineError, SourceRefused, SourceUnavailable) as error:
        log.error("failed", reason=str(error))  # noqa: TRY400
        return FAILED
    except KeyboardInterrupt:
        log.error("interrupted", reason="run the same command again to go on")  # noqa: TRY400
        return FAILED
    return DONE


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"infra.delivery: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m infra.delivery", description="Deliver a release to Cloud Run, or take it back.")
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", parser_class=_Parser, dest="command"
    )
    service = commands.add_parser("service", help="bring an image to the service: 0, 10, 50, 100 %% of its traffic")
    job = commands.add_parser(
        "job", help="try an image on the live archive; if its marts are the same, give it the job"
    )
    for delivering in (service, job):
        delivering.add_argument("image", metavar="IMAGE", help="REGISTRY/NAME@sha256:<64 hex digits>")
    job.add_argument(
        "--accept-changes",
        type=_tables,
        default=(),
        metavar="TABLE,...",
        help="tables that may differ, by a person's decision; of " + ", ".join(COMPARED_TABLES),
    )
    commands.add_parser("rollback-service", help="give all traffic to the revision that was trusted before")
    commands.add_parser("rollback-job", help="give the job the image that it had before")
    return parser


def _tables(text: str) -> tuple[str, ...]:
    named = tuple(text.split(","))
    if unknown := [table for table in named if table not in COMPARED_TABLES]:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)} is not compared; choose of {', '.join(COMPARED_TABLES)}"
        )
    return named


def interrupt_on_sigterm() -> None:
    """Let a workflow that is cancelled stop a delivery between two steps of it, with a word about how to go on."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _configure_logs(command: str) -> None:
    """Log to standard error, one JSON object a line, with Cloud Logging's names."""

    def with_command(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["severity"] = str(event.pop("level")).upper()
        return {"command": command, **event}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            with_command,
            structlog.processors.TimeStamper(fmt="iso", key="time"),
            structlog.processors.EventRenamer("message"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        # Standard error as it is at each message: whoever calls this in process may have replaced and closed it since.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
