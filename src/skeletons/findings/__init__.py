"""From tables to statements: the verdict, the claims, and what stands behind them."""
