"""Parts of the local Hub; `tests.hub_server` combines them."""
