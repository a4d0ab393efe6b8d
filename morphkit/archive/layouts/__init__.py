"""One module for each model file layout: how to know it, read it and, where that makes sense, write it."""
