"""What requests and answers hold, and the OpenAPI document of it."""
