"""The master: plans, executes zygotes, keeps workers running. Never imports user code, a client or a SQL driver."""
