"""Wiring: settings, addresses, start-up. Imported by no app."""
