//! The call detail record: what one SIP leg of a call was, as the gateway saw it.

use serde::{Deserialize, Serialize};

use crate::{CallId, DecodeError, Party, RoomName, Timestamp, open_enum::open_enum, versioned};

/// One SIP leg, written once by the gateway when the leg is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegRecord {
    /// The version of this format; [`LegRecord::VERSION`] when made by this code.
    pub version: u32,
    /// The call; `None` when it never had a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The room that it took place in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomName>,
    /// LiveKit's id of the leg (`SCL_…`).
    pub sip_call: String,
    /// The Call-ID header.
    pub sip_call_id: String,
    /// Who placed the call.
    pub direction: Direction,
    /// The remote party, as the call's record has it: anonymous where the dispatch rule hides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Party>,
    /// The trunk's number, likewise: the called one of calls in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Party>,
    /// LiveKit's id of the trunk (`ST_…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// LiveKit's id of the dispatch rule (`SDR_…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Of a call out: the hosts that the INVITE was sent to, in that order. The call is the last one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<LegHost>,
    /// The account that the call came by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<String>,
    /// When the INVITE came in, or LiveKit asked for the call.
    pub started_at: Timestamp,
    /// When the phone was told to ring, or told that it rings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ringing_at: Option<Timestamp>,
    /// When the INVITE was answered with 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Timestamp,
    /// The final answer to the INVITE; `None` when there was none, or it was not waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SipStatus>,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Why, as the gateway's log names it, such as `media_timeout`.
    pub reason: String,
    /// Why, in words.
    pub why: String,
    /// The sound; `None` when none was agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<LegMedia>,
}

impl LegRecord {
    /// The version that this code writes. It reads every version from 1 up to this one.
    pub const VERSION: u32 = 1;

    /// A leg that has just begun. Until it is said otherwise, its gateway failed.
    pub fn begun(sip_call: &str, sip_call_id: &str, direction: Direction, at: Timestamp) -> Self {
        Self {
            version: Self::VERSION,
            call: None,
            room: None,
            sip_call: sip_call.to_owned(),
            sip_call_id: sip_call_id.to_owned(),
            direction,
            caller: None,
            called: None,
            trunk: None,
            rule: None,
            hosts: Vec::new(),
            registration: None,
            started_at: at,
            ringing_at: None,
            answered_at: None,
            ended_at: at,
            status: None,
            ended_by: EndedBy::Gateway,
            reason: String::new(),
            why: String::new(),
            media: None,
        }
    }

    /// The stored object: JSON, indented, since people read it too.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads a stored object.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(body: impl AsRef<[u8]>) -> Result<Self, DecodeError> {
        versioned::decode(body.as_ref(), "call detail record", Self::VERSION)
    }
}

/// A host that an INVITE was sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegHost {
    /// Address and port.
    pub address: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// Why the next one was tried, or the call given up: `not_connected`, `no_answer` or `unavailable` (503).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

open_enum! {
    /// Who placed a call.
    pub enum Direction {
        /// A phone called.
        Inbound = "inbound",
        /// A phone was called.
        Outbound = "outbound",
    }
}

open_enum! {
    /// Who ended a leg.
    pub enum EndedBy {
        /// The phone, whoever had called whom.
        Phone = "phone",
        /// The agent, by leaving or by not coming.
        Agent = "agent",
        /// Whoever closed the room, or removed the phone from it.
        Room = "room",
        /// The gateway, by one of its limits or because it stopped.
        Gateway = "gateway",
        /// Nobody: something that was waited for did not come.
        Network = "network",
    }
}

/// A final answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipStatus {
    /// 200 to 699.
    pub code: u16,
    /// The words behind it, without what looks like a number; at most 128 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phrase: String,
}

/// What the phone's sound was like when it came in, and how much went out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegMedia {
    /// The codec agreed on, both ways.
    pub codec: String,
    /// The SRTP suite agreed on, both ways; `None` for plain RTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp: Option<String>,
    /// Packets that came in.
    pub packets_received: u64,
    /// Packets that never came, or too late.
    pub packets_lost: u64,
    /// Of a hundred packets, how many were lost.
    pub loss_percent: f64,
    /// The interarrival jitter at the end (RFC 3550 §6.4.1), in milliseconds.
    pub jitter_ms: f64,
    /// 20 ms each, made up because a packet was missing.
    pub frames_concealed: u64,
    /// Packets that went out.
    pub packets_sent: u64,
    /// Times that the room's sound ran dry on its way out.
    pub gaps: u64,
    /// What listeners would say of the phone's sound, 1 to 4.5, estimated by loss and by the delay of our own buffers and, where it was
    /// measured, of the network; `None` when no packet came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mos: Option<f64>,
    /// How long it took to the phone and back on average, in milliseconds; `None` where the phone sent no RTCP reports that tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// Of our packets, how many the phone lost, by its last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_lost: Option<u64>,
    /// The interarrival jitter of our packets at the phone, by its last report, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_jitter_ms: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_goes_through_json_and_debug_shows_no_number() {
        let at = Timestamp::from_unix_ms(1_795_196_401_568).unwrap();
        let mut leg = LegRecord::begun("SCL_1", "id@host", Direction::Inbound, at);
        leg.caller = Some(Party::parse("+15551234", None));
        leg.status = Some(SipStatus {
            code: 486,
            phrase: "Busy Here".into(),
        });
        leg.media = Some(LegMedia {
            codec: "PCMU".into(),
            srtp: Some("AES_CM_128_HMAC_SHA1_80".into()),
            packets_received: 100,
            packets_lost: 1,
            loss_percent: 1.0,
            jitter_ms: 0.5,
            frames_concealed: 1,
            packets_sent: 99,
            gaps: 0,
            mos: Some(4.3),
            round_trip_ms: Some(21.5),
            phone_lost: Some(0),
            phone_jitter_ms: None,
        });
        assert_eq!(LegRecord::decode(leg.encode()).unwrap(), leg);
        assert!(!format!("{leg:?}").contains("5551234"));
    }
}
