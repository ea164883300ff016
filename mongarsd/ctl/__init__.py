"""`mongarsctl`: node, chat, models. Talks to the daemon over HTTP and imports nothing of the project but the ground."""
