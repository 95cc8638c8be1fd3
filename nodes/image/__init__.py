"""Image: loading, saving, showing, and the everyday edits, all on float32 [batch, height, width, 3], 0..1."""
