//! The contract: LiveKit webhook events, CallEvent, CallJob, CallRecord, ids.
