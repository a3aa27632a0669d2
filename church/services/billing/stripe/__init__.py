"""Everything that talks to Stripe or reads its objects."""
