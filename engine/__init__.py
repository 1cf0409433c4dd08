"""What newleaf does with the facts: agents, channels, imports, the outbox. Knows storage, nothing of HTTP."""
