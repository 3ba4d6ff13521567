"""The service: sessions that keep a neural memory, over HTTP.

Start at `armt_server.app.create_app`; `armt serve` runs it. The floors, low to high: errors, settings and
schemas; store and scheduler; engine; residency; sessions; api; app; cli.
"""

__version__ = "0.1.0"
