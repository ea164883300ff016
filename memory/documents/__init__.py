"""Documents: files that people upload, cut into chunks that can be searched and cited."""
