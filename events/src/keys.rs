//! Where a call's objects lie in the store, as pure functions.
//!
//! Everything of a call lies below `calls/<day>/<CallId>/`, where the day is that of the room's creation in UTC, so that calls are
//! listed by day. What knows only the call's id finds the day in [`index`], and what looks for calls that are not closed yet lists the
//! markers below [`OPEN`], however many calls there have been.

use crate::{CallId, EgressId, EventId, Timestamp};

/// `calls/<day>/`, the prefix of all calls whose room was created on the day of `created_at`.
pub fn day(created_at: Timestamp) -> String {
    format!("calls/{}/", created_at.day())
}

/// `calls/<day>/<CallId>/`, the prefix of all that is kept of a call.
pub fn call(created_at: Timestamp, call: &CallId) -> String {
    format!("{}{call}/", day(created_at))
}

/// `…/events/`, the prefix of the call's events.
pub fn events(created_at: Timestamp, call: &CallId) -> String {
    format!("{}events/", self::call(created_at, call))
}

/// `…/events/<EventId>.json`: a [`crate::CallEvent`], put once; its presence says that the event has been dealt with.
pub fn event(created_at: Timestamp, call: &CallId, event: &EventId) -> String {
    format!("{}{event}.json", events(created_at, call))
}

/// `…/job.json`: the [`crate::CallJob`] that was enqueued, put once; its presence says that the call has its job.
pub fn job(created_at: Timestamp, call: &CallId) -> String {
    format!("{}job.json", self::call(created_at, call))
}

/// `…/no-match.json`: why no entry of `agents:` took a participant, see [`crate::agents::NoMatch`]. Put once.
pub fn no_match(created_at: Timestamp, call: &CallId) -> String {
    format!("{}no-match.json", self::call(created_at, call))
}

/// `…/claim.json`: who serves the call, written on condition; its generation is the fencing token.
pub fn claim(created_at: Timestamp, call: &CallId) -> String {
    format!("{}claim.json", self::call(created_at, call))
}

/// `…/agent.json`: what the agent has done so far, written by the holder of the claim only.
pub fn agent(created_at: Timestamp, call: &CallId) -> String {
    format!("{}agent.json", self::call(created_at, call))
}

/// `…/recording.ogg`: caller left, agent right.
pub fn recording(created_at: Timestamp, call: &CallId) -> String {
    format!("{}recording.ogg", self::call(created_at, call))
}

/// `…/transcript.json`: what was said.
pub fn transcript(created_at: Timestamp, call: &CallId) -> String {
    format!("{}transcript.json", self::call(created_at, call))
}

/// `…/transcript.txt`: the same for people to read.
pub fn readable_transcript(created_at: Timestamp, call: &CallId) -> String {
    format!("{}transcript.txt", self::call(created_at, call))
}

/// `…/report.json`: a [`crate::SessionReport`].
pub fn report(created_at: Timestamp, call: &CallId) -> String {
    format!("{}report.json", self::call(created_at, call))
}

/// `…/outbound/<leg>.json`: a phone that was dialled into the call over the HTTP API. `leg` is 16 hexadecimal digits.
pub fn outbound(created_at: Timestamp, call: &CallId, leg: &str) -> String {
    format!("{}outbound/{leg}.json", self::call(created_at, call))
}

/// `…/sip/<sip call>.json`: a [`crate::LegRecord`], the call detail record of one SIP leg, put once by the gateway when it is over.
pub fn leg(created_at: Timestamp, call: &CallId, sip_call: &str) -> String {
    format!("{}sip/{sip_call}.json", self::call(created_at, call))
}

/// `…/sip/<sip call>.txt`: the leg's SIP messages for people to read, where the gateway was told to keep them.
pub fn ladder(created_at: Timestamp, call: &CallId, sip_call: &str) -> String {
    format!("{}sip/{sip_call}.txt", self::call(created_at, call))
}

/// `refused/<day>/<sip call>.json` and `.txt`: the same of a leg that never had a room, where the gateway was told to keep messages.
pub fn refused(started_at: Timestamp, sip_call: &str) -> (String, String) {
    let key = format!("refused/{}/{sip_call}", started_at.day());
    (format!("{key}.json"), format!("{key}.txt"))
}

/// `…/egress/`, the prefix of the records of the call's egresses.
pub fn egresses(created_at: Timestamp, call: &CallId) -> String {
    format!("{}egress/", self::call(created_at, call))
}

/// `…/egress/<EgressId>.json`: an [`crate::EgressRecord`], once the egress has ended.
pub fn egress(created_at: Timestamp, call: &CallId, egress: &EgressId) -> String {
    format!("{}{egress}.json", egresses(created_at, call))
}

/// `…/record.json`: the [`crate::CallRecord`], put once, by whoever closes the call.
pub fn record(created_at: Timestamp, call: &CallId) -> String {
    format!("{}record.json", self::call(created_at, call))
}

/// `index/<CallId>`: a [`crate::IndexEntry`], put once at the first event that tells the room's creation.
pub fn index(call: &CallId) -> String {
    format!("index/{call}")
}

/// `open/`, the prefix of the markers of all calls that are not closed.
pub const OPEN: &str = "open/";

/// `open/<CallId>`: marks a call that is not closed, by a [`crate::IndexEntry`].
///
/// Put before anything else that is kept of the call; removed by whoever has written `record.json`. A marker whose call has its record was
/// left by a process that died in between, and is removed by the sweep. [`index`] is put behind it, once: where that is, the call is
/// known, and no late event brings the marker back.
pub fn open(call: &CallId) -> String {
    format!("{OPEN}{call}")
}

/// The call of a marker's key; `None` for what is none.
pub fn open_call(key: &str) -> Option<CallId> {
    key.strip_prefix(OPEN)?.parse().ok()
}

/// `open/egress/`, the prefix of the markers of all egresses that are not done with: below [`OPEN`], so that whoever may remove the one kind
/// of marker may remove the other, and behind all calls in a list.
pub const OPEN_EGRESS: &str = "open/egress/";

/// `open/egress/<EgressId>`: marks an egress that has not ended, or that waits for its stand-in, by an [`crate::OpenEgress`].
///
/// Put at its first event; removed by whoever has written its record, once nothing of that is missing any more.
pub fn open_egress(egress: &EgressId) -> String {
    format!("{OPEN_EGRESS}{egress}")
}

/// The egress of a marker's key; `None` for what is none.
pub fn open_egress_id(key: &str) -> Option<EgressId> {
    key.strip_prefix(OPEN_EGRESS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_by_the_day_of_the_rooms_creation() {
        let created_at = Timestamp::from_unix_ms(1_795_196_401_568).unwrap();
        let id = CallId::new("RM_5dNYzUpD9LnC").unwrap();
        let ev = EventId::new("EV_t6w9J36MvWtH").unwrap();
        assert_eq!(day(created_at), "calls/2026-11-20/");
        assert_eq!(
            event(created_at, &id, &ev),
            "calls/2026-11-20/RM_5dNYzUpD9LnC/events/EV_t6w9J36MvWtH.json"
        );
        assert_eq!(
            record(created_at, &id),
            "calls/2026-11-20/RM_5dNYzUpD9LnC/record.json"
        );
        assert_eq!(
            leg(created_at, &id, "SCL_x"),
            "calls/2026-11-20/RM_5dNYzUpD9LnC/sip/SCL_x.json"
        );
        assert_eq!(refused(created_at, "SCL_x").1, "refused/2026-11-20/SCL_x.txt");
        assert_eq!(index(&id), "index/RM_5dNYzUpD9LnC");
        assert_eq!(open(&id), "open/RM_5dNYzUpD9LnC");
        assert_eq!(open_call(&open(&id)).as_ref(), Some(&id));
        assert_eq!(open_call("open/notes.txt"), None);
        let egress = EgressId::new("EG_s4uE8DXpQk6U").unwrap();
        assert_eq!(
            self::egress(created_at, &id, &egress),
            "calls/2026-11-20/RM_5dNYzUpD9LnC/egress/EG_s4uE8DXpQk6U.json"
        );
        assert_eq!(open_egress(&egress), "open/egress/EG_s4uE8DXpQk6U");
        assert_eq!(open_call(&open_egress(&egress)), None);
        assert_eq!(open_egress_id(&open_egress(&egress)), Some(egress));
        assert_eq!(open_egress_id("open/egress/notes.txt"), None);
    }
}
