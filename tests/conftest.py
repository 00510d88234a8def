"""Recording and replaying: cassettes hold what a real kernel answered, and no secrets."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from vcr.cassette import Cassette
from vcr.request import Request
from vcr.serializers import yamlserializer

from tests.recorded.cassettes import Dumper
from tests.recorded.normalise import rechain

os.environ.pop("PYTHONUNBUFFERED", None)  # it would hide what a buffer does at exit
# A shell has what it runs in the background ignore the one, nohup the other; the programs that are
# started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# The same examples in every run: a build fails for what was changed, not by chance.
# To look further: pytest --hypothesis-profile=exploring
# How fast examples are made says something about the machine, and not about what is tested.
ANY_MACHINE = (HealthCheck.too_slow,)
settings.register_profile("repeatable", derandomize=True, suppress_health_check=ANY_MACHINE)
settings.register_profile("exploring", derandomize=False, suppress_health_check=ANY_MACHINE)
settings.register_profile("quick", settings.get_profile("repeatable"), max_examples=10)
settings.load_profile("repeatable")
CASSETTES = Path(__file__).parent.parent / "cassettes"
CLOCK = "aerokernel on kernel.test"
KEPT = {"accept", "content-type"}


def scrub_request(request: Request) -> Request:
    """No address and no token: any kernel's recording replays against any --kernel."""
    request.uri = urlsplit(request.uri)._replace(scheme="http", netloc="kernel.test").geturl()
    request.headers = {k: v for k, v in request.headers.items() if k.lower() in KEPT}
    return request


def scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    """Few headers, and bodies that can be read in a review; the kernel's host stays unnamed."""
    response["headers"] = {k: v for k, v in response["headers"].items() if k.lower() in KEPT}
    with contextlib.suppress(ValueError):
        body = rename_clock(json.loads(response["body"]["string"]))
        rechain(body)
        response["body"]["string"] = (json.dumps(body, indent=1) + "\n").encode()
    return response


def rename_clock(value: Any) -> Any:
    """The kernel's clock in what it answered, wherever it is named."""
    if isinstance(value, list):
        return [rename_clock(each) for each in value]
    if isinstance(value, dict):
        return {
            key: CLOCK if key == "clock" and str(each).startswith("aerokernel on ")
            else rename_clock(each)
            for key, each in value.items()
        }  # fmt: skip
    return value


@pytest.fixture(scope="session", autouse=True)
def private() -> Iterator[None]:
    """Files of a test are its own: aerokernel believes no other ones that hold secrets."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis tries constants of every module of ours that is loaded, and so other examples with
    another selection of tests. It has no setting for that.
    """
    if config.getoption("--hypothesis-profile") != "exploring":
        providers._get_local_constants = Constants


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-golden", action="store_true", help="write what is shown, replaying")


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    return {
        "before_record_request": scrub_request,
        "before_record_response": scrub_response,
        "record_on_exception": False,
        "match_on": ["method", "scheme", "host", "port", "path", "query", "body"],
    }


@pytest.fixture(scope="module")
def vcr_cassette_dir(request: pytest.FixtureRequest) -> str:
    return str(CASSETTES / request.path.stem.removeprefix("test_"))


@pytest.fixture(autouse=True)
def cassette_is_used_up(vcr: Cassette | None) -> Iterator[None]:
    """A test that asks for less than was recorded is as wrong as one that asks for more."""
    yield
    assert vcr is None or vcr.all_played or vcr.dirty, "the cassette holds more than was asked for"


def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    """Multi-line bodies as YAML literal blocks."""

    vcr.register_serializer(
        "yaml",
        SimpleNamespace(
            deserialize=yamlserializer.deserialize,
            serialize=lambda cassette: yaml.dump(cassette, Dumper=Dumper),
        ),
    )
