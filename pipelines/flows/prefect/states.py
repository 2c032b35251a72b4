"""How a run ended, as a Prefect state and back.

A rejection is a result: its state is of the type Completed. Everything else that stops a run is of
the type Failed, named so that an automation can tell bad data from a bad setting.
"""

from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError, RejectedError

if TYPE_CHECKING:
    AnyState = State[Any]
else:  # pydantic makes a class of `State[Any]` that another process can't unpickle
    AnyState = State

_KINDS: dict[str, type[HgmnetError]] = {
    "Configuration": ConfigError,
    "Invalid data": InvalidDataError,
    "Rejected": RejectedError,
}


def state_of(error: HgmnetError) -> AnyState:
    """The state that an error ends a task or a flow in: its kind is the name."""
    names = {kind: name for name, kind in _KINDS.items()}
    create = Completed if isinstance(error, RejectedError) else Failed
    return create(name=names.get(type(error), "Failed"), message=str(error))


def propagate(state: AnyState) -> AnyState:
    """A task's state for its flow to end in (Prefect makes a task's own into a nameless one)."""
    raised = None if state.is_completed() else state.result(raise_on_failure=False)
    if isinstance(raised, HgmnetError):
        return state_of(raised)
    return State(type=state.type, name=state.name, message=state.message)


def raise_for_state(state: AnyState) -> None:
    """Do nothing if the state is plain success.

    Raises:
        RejectedError, InvalidDataError, ConfigError: the state has that name.
        HgmnetError: it ended in any other way.
    """
    message = state.message or state.name or state.type.value
    if state.name in _KINDS:
        raise _KINDS[state.name](message)
    if not state.is_completed():
        raise HgmnetError(message)
