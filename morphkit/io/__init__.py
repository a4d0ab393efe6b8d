"""Files to values and back; the only room that knows sRGB."""
