//! The gateway between a SIP caller and a real livekit-server with its Redis.

mod agent;
mod fixture;
mod peer;

mod answer;
mod ends;
mod refusals;
mod signalling;
