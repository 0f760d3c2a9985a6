//! Intake, claim, lease, call::run, recording, archive, drain.
