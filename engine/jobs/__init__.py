"""Background work: kinds of jobs, the doorbell that announces them, the worker that does them."""
