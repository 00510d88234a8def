"""Renames the volatile values of the cassettes in a directory, scenario by scenario, in place."""

import json
from pathlib import Path
from typing import Any

import yaml
from vcr.serializers import yamlserializer

from tests.recorded.normalise import Exchange, body, normalise


class Dumper(yamlserializer._CassetteDumper):  # type: ignore[misc]
    """Multi-line bodies as YAML literal blocks."""


Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def normalise_scenario(files: list[Path], words: Path) -> None:
    """Rewrite a scenario's cassettes, given in the order in which they were recorded."""
    cassettes = [yamlserializer.deserialize(file.read_text()) for file in files]
    interactions = [each for cassette in cassettes for each in cassette["interactions"]]
    exchanges, named = normalise(
        [exchange(each) for each in interactions], json.loads(words.read_text())
    )
    for interaction, each in zip(interactions, exchanges, strict=True):
        rewrite(interaction, each)
    for file, cassette in zip(files, cassettes, strict=True):
        file.write_text(yaml.dump(cassette, Dumper=Dumper))
    words.write_text(json.dumps(named) + "\n")


def exchange(interaction: dict[str, Any]) -> Exchange:
    """A recorded request with its answer."""
    request, response = interaction["request"], interaction["response"]
    return Exchange(request["uri"], body(request["body"] or ""), body(response["body"]["string"]))


def rewrite(interaction: dict[str, Any], each: Exchange) -> None:
    """Put what was renamed into its place."""
    interaction["request"]["uri"] = each.uri
    if each.request is not None:
        interaction["request"]["body"] = json.dumps(each.request)
    if each.answer is not None:
        interaction["response"]["body"]["string"] = json.dumps(each.answer, indent=1) + "\n"
