//! LiveKit's psrpc over Redis.
