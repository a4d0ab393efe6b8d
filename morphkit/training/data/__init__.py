"""Photos of faces as training takes them: found, aligned, described, and kept in shards."""
