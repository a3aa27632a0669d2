"""What Stripe does with money and time, as far as the till plays it."""
