"""/v1/ws: sessions that outlive their WebSockets."""
