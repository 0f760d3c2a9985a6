//! The trunkline command.
