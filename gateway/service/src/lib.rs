//! SIP calls bridged to LiveKit rooms: what livekit-sip does for inbound calls, and what it leaves out.
//!
//! # One call, from INVITE to BYE
//!
//! [`Gateway`] takes each call of the SIP stack and gives it a task of its own (`call`). The task asks LiveKit over the bus for the trunk
//! (`call::trunk`: digest, refusals) and for the dispatch rule, negotiates the media, joins the room as a participant of kind SIP
//! (`room`), and publishes the caller's track. From then on a pure machine (`call::machine`) decides: 200 when an agent has a track, 480 or
//! what the policy says when none comes, the end when the agent is gone for good. Where the rule has a PIN the phone is answered before
//! it has a room, and enters it (`call::entrance`). The `bridge` carries the sound and the digits; participants of the room read headers
//! and end calls by `methods`.
//!
//! # Contract
//!
//! - [`Gateway::start`] fails or serves; [`Gateway::failed`] resolves when the SIP stack has died under it.
//! - A call's end releases all that it held: room left, RTP port closed, tasks ended, dialog removed; and makes sure that the server has
//!   heard of it (`departure`).
//! - The gateway holds no state beyond its calls: no routing, no credentials. Of each call that is over it leaves a detail record in the store,
//!   if it is given one (`records`), and reads nothing there. It never sees the agent's process: agents are participants of a room.
//! - Logs carry a step and ids, no number, name or room name.

mod attributes;
mod bridge;
mod call;
mod certificate;
mod config;
mod departure;
mod edge;
mod gateway;
mod methods;
mod records;
mod registrations;
mod room;
mod sounds;
mod token;

pub use call::machine::EndReason;
pub use config::{ConfigError, GatewayConfig, Timeouts};
pub use gateway::{Gateway, GatewayStats, StartError};
pub use registrations::RegistrationHealth;
pub use sounds::SoundError;
