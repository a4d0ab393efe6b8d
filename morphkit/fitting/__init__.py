"""A photo to a face: pose, identity, expression, albedo and light."""
