"""`mongarsctl doctor`: look at everything, say what to do."""
