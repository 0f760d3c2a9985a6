//! The local stack's set-up: Redis and livekit-server on loopback, on free ports.
