"""The configuration: its keys and values, its checks, and one sentence per problem."""
