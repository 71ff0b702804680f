"""The configuration: its schema, its checks, and one sentence for each problem."""
