"""The HTTP edge: one module per domain, one function per operationId of the contract."""
