"""`mongarsctl chat`: one question or a conversation."""
