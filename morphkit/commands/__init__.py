"""The verbs of the command line as plain functions: files in, files out, a named result back."""
