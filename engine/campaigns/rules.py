"""What compliance asks, for many leads of a batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from engine import budgets, channels, compliance
from engine.compliance import Facts, FrequencyCap, QuietHours
from engine.compliance.facts import frequency_cap, quiet_hours
from storage import accounts
from storage.campaign_batches import Known
from storage.campaigns import Campaign
from storage.leads import Lead
from storage.tenancy import Tenant


@dataclass(frozen=True)
class Rules:
    """What holds for everybody in a batch. timezone: the account's."""

    channel: channels.Channel | None
    quiet: QuietHours | None
    cap: FrequencyCap | None
    exhausted: str | None
    timezone: str

    @classmethod
    def of(cls, tenant: Tenant, channel: str, now: datetime) -> Rules:
        """The rules of the account as they are now."""
        account = accounts.get(tenant.account_id)
        return cls(
            channel=channels.of(tenant, channel),
            quiet=quiet_hours(tenant.environment, account.settings),
            cap=frequency_cap(tenant.environment, account.settings),
            exhausted=budgets.exhausted(tenant, now, [budgets.MESSAGES]),
            timezone=account.timezone or "UTC",
        )

    def facts(self, tenant: Tenant, channel: str, lead: Lead, known: Known, kind: compliance.Kind) -> Facts:
        """The facts of one lead; as `compliance.facts_of` reads them for one alone."""
        heard = known.heard.get(lead.number, {})
        return Facts(
            environment=tenant.environment,
            channel=channel,
            kind=kind,
            is_configured=self.channel is not None,
            opted_out=lead.opted_out,
            phone=lead.phone,
            phone_valid=lead.phone_valid,
            email=lead.email,
            identities=known.addresses.get(lead.number, ()),
            timezone=lead.timezone,
            heard_at=max(heard.values(), default=None),
            heard_here_at=heard.get(channel),
            sent_at=known.sent.get(lead.number, ()),
            quiet_hours=self.quiet,
            frequency_cap=self.cap,
            exhausted_budget=self.exhausted,
        )

    def since(self, now: datetime) -> datetime | None:
        """How far back it counts what was sent; None where nothing does."""
        return None if self.cap is None else now - timedelta(hours=self.cap.hours)

    def zone(self, campaign: Campaign) -> ZoneInfo:
        """Where a lead is taken to be of whom nothing is known."""
        return ZoneInfo(campaign.schedule.get("timezone") or self.timezone)
