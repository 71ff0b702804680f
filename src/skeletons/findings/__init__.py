"""From tables to statements: the verdict, the claims, and the evidence for them."""
