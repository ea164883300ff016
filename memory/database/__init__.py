"""The SQLite file: one writer with group commit, read-only readers, migrations, checks and backups."""
