"""The stack on a local AWS as a test fixture: sessions, sample events, and the pytest plugin."""
