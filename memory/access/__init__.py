"""Who may use the node: keys, users, the secret of their tokens, and what administrators did."""
