"""May this lead be written to now, and does this message ask for silence? Nothing is sent without a decision of here.

After an opt-out a person gets one confirmation and then silence on every channel, until they ask to hear from us again.
"""

from engine.compliance.decision import (
    LEAD_GONE,
    Allowed,
    Decision,
    Facts,
    FrequencyCap,
    Held,
    Kind,
    Refused,
    decide,
)
from engine.compliance.disclosure import disclose
from engine.compliance.facts import facts_of, permission
from engine.compliance.hours import QuietHours
from engine.compliance.words import CONFIRMATION, wish

__all__ = [
    "CONFIRMATION",
    "LEAD_GONE",
    "Allowed",
    "Decision",
    "Facts",
    "FrequencyCap",
    "Held",
    "Kind",
    "QuietHours",
    "Refused",
    "decide",
    "disclose",
    "facts_of",
    "permission",
    "wish",
]
