//! SIP calls bridged to LiveKit rooms.
