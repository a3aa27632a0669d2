"""The rooms behind church.telemetry, which alone imports them."""
