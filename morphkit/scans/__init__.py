"""Finding, reading and cleaning raw scans."""
