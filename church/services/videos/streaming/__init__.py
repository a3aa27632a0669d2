"""Signed addresses and the streams behind them."""
