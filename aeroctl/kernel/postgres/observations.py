"""The sections that nodes answer themselves, checked against the contract. Pure."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import ValidationError

from aeroctl.contract.base import Model, Observation, Unavailable
from aeroctl.contract.envelope import Note
from aeroctl.contract.nodes import Node
from aeroctl.contract.replication import NodeReplication, Receiver, Sender
from aeroctl.contract.terms import Section

Answer = str | Unavailable
"""One section of one node: a JSON document, or the reason why it is unavailable."""

Value = TypeVar("Value", bound=Model)


def observation(
    kind: type[Observation[Value]], model: type[Value], node: Node, answer: Answer
) -> Observation[Value]:
    """A node's answer: a value that is valid in the contract, or the reason why there is none."""
    if isinstance(answer, Unavailable):
        return kind(node=node.name, value=None, unavailable=answer)
    try:
        value = model.model_validate_json(answer)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        reason = Unavailable(code="NODE_ANSWER_UNREADABLE", message=f"not as expected: {fields}")
        return kind(node=node.name, value=None, unavailable=reason)
    return kind(node=node.name, value=value, unavailable=None)


def name_streams(
    observed: Observation[NodeReplication], nodes: Sequence[Node]
) -> Observation[NodeReplication]:
    """Add the name of the node at the other end of every stream, where it is one of `nodes`.

    Patroni has a replica connect under its own member name, so a sender's application name is
    the name of a node; a receiver's upstream is the node with that address.
    """
    if observed.value is None:
        return observed
    names = {node.name for node in nodes}
    by_address = {(node.host, node.port): node.name for node in nodes}

    def sender(stream: Sender) -> Sender:
        name = stream.application_name
        return stream.model_copy(update={"node": name if name in names else None})

    def receiver(stream: Receiver) -> Receiver:
        upstream = by_address.get((stream.host, stream.port)) if stream.host else None
        return stream.model_copy(update={"upstream": upstream})

    named = observed.value.model_copy(
        update={
            "senders": [sender(stream) for stream in observed.value.senders],
            "receiver": receiver(observed.value.receiver) if observed.value.receiver else None,
        }
    )
    return observed.model_copy(update={"value": named})


def notes(answers: Mapping[str, Mapping[Section, Answer]]) -> list[Note]:
    """One note for every node and reason for which a section is unavailable."""
    reasons = {
        (name, answer.code, answer.message)
        for name, sections in answers.items()
        for answer in sections.values()
        if isinstance(answer, Unavailable)
    }
    return [Note(code=code, subject=name, message=message) for name, code, message in reasons]
