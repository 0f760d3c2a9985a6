//! The LiveKit API client.
