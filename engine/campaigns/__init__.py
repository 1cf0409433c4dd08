"""Campaigns: one message to many leads, each of whom is contacted once.

    start → `campaign_freeze` (the ledger, a stretch of leads at a time) → `campaign_dispatch` (several lanes)
                                                       → `campaign_delivery` or `deliver` → the ledger

Dispatch opens conversations by the batch: the ledger's rows are claimed, the conversations, their messages and the rows
of the outbox that deliver them are written, and all of it is one transaction.
"""
