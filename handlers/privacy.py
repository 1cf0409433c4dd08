"""What a person may ask of an account: to be forgotten, and to be told what is known of them."""

from __future__ import annotations

from engine.privacy import erasing, exporting
from storage.tenancy import Caller

from .answers import Body, Stream


def erase_lead(user: Caller, id_: int) -> Body:
    """How much is gone. Raises NotFound; Blocked: the lead has opted out and the server has no key."""
    gone, is_silent = erasing.erase(user.tenant, id_, user.actor)
    return {
        "id": id_,
        "erased": {
            "conversations": gone.conversations,
            "messages": gone.messages,
            "deliveryAttempts": gone.delivery_attempts,
            "identities": gone.identities,
            "inboundEvents": gone.inbound_events,
            "queuedJobs": gone.queued_jobs,
            "outboundEvents": gone.outbound_events,
        },
        "optOutKept": is_silent,
    }


def export_lead(user: Caller, id_: int) -> Stream:
    """All that is known of a person as an archive, sent piece by piece. Raises NotFound."""
    pieces = exporting.archive(user.tenant, id_)
    return Stream(
        "application/zip",
        lambda: next(pieces, None),
        headers={"Content-Disposition": f'attachment; filename="lead-{id_}.zip"'},
    )
