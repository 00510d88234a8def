"""What a change would do, as the kernel explains it. Changes nothing."""

from aeroctl.app import App
from aeroctl.contract.commands import CommandName
from aeroctl.views.explanation import all_hold, layout


def show_explanation(app: App, command: CommandName, target: str | None) -> bool:
    """Print the explanation; whether every rule holds. Raises Failure."""
    answer = app.kernel.explain(command, target)
    app.output.show(answer, answer.data, layout(answer.data))
    return all_hold(answer.data)
