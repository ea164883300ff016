"""`mongarsctl`: commands over the Python client; imports nothing else of the project but the ground."""
