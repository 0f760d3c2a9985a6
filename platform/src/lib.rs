//! Config, secrets, telemetry, lifecycle, LiveKit API client, queue and store ports.
