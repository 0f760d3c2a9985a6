//! POST /webhooks/livekit: verify, parse, plan, idempotent effects.
