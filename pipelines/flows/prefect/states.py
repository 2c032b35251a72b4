"""Convert errors to Prefect states and back.

Each error is of the type Failed, which Prefect shows in red, and has a name of its own, by which a
person and an automation distinguish a rejected model from bad data, a bad setting and a crash.
"""

from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import State
from prefect.states import Failed

from hgmnet.errors import (
    ConfigError,
    HgmnetError,
    InvalidDataError,
    RejectedError,
    hide_credentials,
)

hide_credentials()  # a worker starts a flow without our command; every flow imports this file

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
    """Return the final state for an error, named after its kind."""
    names = {kind: name for name, kind in _KINDS.items()}
    return Failed(name=names.get(type(error), "Failed"), message=str(error))


def propagate(state: AnyState) -> AnyState:
    """Copy a task's state for its flow to return; Prefect would drop the original's name."""
    raised = None if state.is_completed() else state.result(raise_on_failure=False)
    if isinstance(raised, HgmnetError):
        return state_of(raised)
    return State(type=state.type, name=state.name, message=state.message)


def raise_for_state(state: AnyState) -> None:
    """Do nothing if the state is plain success.

    Raises:
        RejectedError, InvalidDataError, ConfigError: the state has that name.
        HgmnetError: any other state that is not completed.
    """
    message = state.message or state.name or state.type.value
    if state.name in _KINDS:
        raise _KINDS[state.name](message)
    if not state.is_completed():
        raise HgmnetError(message)
