//! The call's media: negotiated before the room is joined, or by the answer of a phone that we dial, running from the answer on.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use audio::Codec;
use bus::ioinfo::MediaConfig;
use livekit::prelude::RemoteAudioTrack;
use media::sdp::{self, LocalMedia, LocalSrtp, Negotiated, SdpError};
use media::{Digit, MasterKey, RtpControl, RtpPort, RtpSession, RtpStats, SessionOptions, Suite};
use parking_lot::Mutex;
use sip::Invite;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::heard::Heard;
use crate::bridge::{CHANGE_QUEUE, Change, Downlink, Faults, Sound};
use crate::room::RoomLeg;

/// Any port: for reading an offer before a port is bound.
const NO_PORT: u16 = 9;
/// The rate of the phone's track where its codec is not known at the join.
pub(super) const UNKNOWN_RATE_HZ: u32 = 16_000;

/// The caller's SDP.
pub(super) struct Offer(Vec<u8>);

impl Offer {
    /// `None` when the INVITE has none: then our 200 makes the offer, and the ACK has its answer (RFC 3261 §13.3.1.4).
    pub(super) fn read(invite: &Invite) -> Option<Self> {
        (!invite.body.is_empty()).then(|| Self(invite.body.clone()))
    }

    /// Whether we could speak on it at all, whatever the trunk says of encryption, which is not known yet.
    pub(super) fn check(&self, codecs: &[Codec]) -> Result<(), SdpError> {
        let keys = new_keys();
        let local = LocalMedia {
            address: IpAddr::from([127, 0, 0, 1]),
            port: NO_PORT,
            codecs,
            session_id: 0,
            version: 0,
            srtp: Some(LocalSrtp {
                required: false,
                keys: &keys,
            }),
        };
        sdp::answer(&self.0, &local).map(drop)
    }
}

/// `SIPMediaEncryption`: what LiveKit's trunk or rule says of SRTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    Off,
    Allowed,
    Required,
}

impl Encryption {
    /// Off, where nothing is said. A value that is not known yet must not lead to less than was wanted.
    pub(super) fn of(media: Option<&MediaConfig>) -> Self {
        match media.map_or(0, |media| media.encryption) {
            0 => Self::Off,
            1 => Self::Allowed,
            _ => Self::Required,
        }
    }
}

fn new_keys() -> Vec<(Suite, MasterKey)> {
    Suite::ALL.map(|suite| (suite, MasterKey::random())).to_vec()
}

/// Our SDP as an offer for sound both ways: what was agreed on stays, and so does every `m=` line (RFC 3264 §8).
fn offered_again(description: &str, version: u64) -> String {
    let line = |line: &str| match line {
        "a=sendonly" | "a=recvonly" | "a=inactive" => "a=sendrecv\r\n".to_owned(),
        origin if origin.starts_with("o=") => {
            let version = version.to_string();
            let words = origin.split(' ').enumerate();
            let words: Vec<&str> = words
                .map(|(at, word)| if at == 2 { version.as_str() } else { word })
                .collect();
            format!("{}\r\n", words.join(" "))
        }
        other => format!("{other}\r\n"),
    };
    description.lines().map(line).collect()
}

/// Our codecs, in our order, as far as LiveKit's trunk or rule allows them.
pub(super) fn codecs(ours: &[Codec], media: Option<&MediaConfig>) -> Vec<Codec> {
    let Some(media) = media.filter(|media| media.only_listed_codecs) else {
        return ours.to_vec();
    };
    let listed = |codec: &Codec| {
        media
            .codecs
            .iter()
            .any(|entry| entry.name.eq_ignore_ascii_case(codec.name()))
    };
    ours.iter().copied().filter(listed).collect()
}

pub(super) struct MediaLeg {
    address: IpAddr,
    port: u16,
    session_id: u64,
    version: u64,
    /// Our SDP as it stands.
    description: String,
    /// Nothing while our offer is not answered.
    negotiated: Option<Negotiated>,
    /// What we offer.
    codecs: Vec<Codec>,
    encryption: Encryption,
    /// Ours, and after the agreement the one of the suite agreed on.
    keys: Vec<(Suite, MasterKey)>,
    changes: mpsc::Sender<Change>,
    faults: Arc<Mutex<Faults>>,
    state: State,
}

enum State {
    Waiting(Option<(RtpPort, mpsc::Receiver<Change>)>),
    Running(RtpControl),
}

impl MediaLeg {
    /// Answers the caller's offer.
    pub(super) fn negotiate(
        offer: &Offer,
        port: RtpPort,
        address: IpAddr,
        codecs: &[Codec],
        encryption: Encryption,
    ) -> Result<Self, SdpError> {
        let mut leg = Self::waiting(port, address, codecs, encryption);
        let (answer, negotiated) = sdp::answer(&offer.0, &leg.local(&leg.codecs))?;
        leg.description = answer;
        leg.agree(negotiated);
        Ok(leg)
    }

    /// Makes an offer, which [`MediaLeg::accept`] is to be told the answer to.
    pub(super) fn offering(port: RtpPort, address: IpAddr, codecs: &[Codec], encryption: Encryption) -> Self {
        let mut leg = Self::waiting(port, address, codecs, encryption);
        leg.description = sdp::make_offer(&leg.local(&leg.codecs));
        leg
    }

    fn waiting(port: RtpPort, address: IpAddr, codecs: &[Codec], encryption: Encryption) -> Self {
        let (changes, changes_rx) = mpsc::channel(CHANGE_QUEUE);
        Self {
            address,
            port: port.port(),
            // 62 bits: some peers read it as a signed number.
            session_id: rand::random::<u64>() >> 2,
            version: 1,
            description: String::new(),
            negotiated: None,
            codecs: codecs.to_vec(),
            encryption,
            keys: new_keys(),
            changes,
            faults: Arc::default(),
            state: State::Waiting(Some((port, changes_rx))),
        }
    }

    fn local<'a>(&'a self, codecs: &'a [Codec]) -> LocalMedia<'a> {
        // What was agreed on stays: neither a stranger nor a mishap turns a call's encryption off, or on when sound runs already.
        let srtp = match (self.negotiated, self.encryption) {
            (Some(Negotiated { srtp: None, .. }), _) | (None, Encryption::Off) => None,
            (agreed, encryption) => Some(LocalSrtp {
                required: agreed.is_some() || encryption == Encryption::Required,
                keys: &self.keys,
            }),
        };
        LocalMedia {
            address: self.address,
            port: self.port,
            codecs,
            session_id: self.session_id,
            version: self.version,
            srtp,
        }
    }

    fn agree(&mut self, negotiated: Negotiated) {
        if let Some(srtp) = negotiated.srtp {
            self.keys.retain(|(suite, _)| *suite == srtp.suite);
        }
        if let State::Running(control) = &self.state {
            control.update(negotiated.remote, negotiated.direction.sends());
            control.report_to(negotiated.reports_to);
            let theirs = |negotiated: Negotiated| negotiated.srtp.map(|srtp| srtp.receiving);
            let key = theirs(negotiated).filter(|key| self.negotiated.and_then(theirs) != Some(*key));
            if let Some(key) = key {
                control.rekey(key);
            }
            if self.is_held() && !negotiated.held {
                control.expect();
            }
        }
        self.negotiated = Some(negotiated);
    }

    /// Our SDP as it stands.
    pub(super) fn description(&self) -> Vec<u8> {
        self.description.clone().into_bytes()
    }

    /// The codec agreed on, and how many samples of it make a second.
    pub(super) fn sample_rate_hz(&self) -> Option<u32> {
        self.negotiated
            .map(|negotiated| negotiated.codec.sample_rate_hz())
    }

    /// Takes the answer to our offer. A second one, after early media, may change where the sound goes and not how it is coded.
    pub(super) fn accept(&mut self, answer: &[u8]) -> Result<(), SdpError> {
        let agreed = self.negotiated.map(|negotiated| [negotiated.codec]);
        let codecs = agreed
            .as_ref()
            .map_or(self.codecs.as_slice(), |agreed| agreed.as_slice());
        let negotiated = sdp::parse_answer(answer, &self.local(codecs))?;
        let is_same = |agreed: Negotiated| agreed.payload_type == negotiated.payload_type;
        if !self.negotiated.is_none_or(is_same) {
            return Err(SdpError::NoCommonCodec {
                ours: "the one agreed on".to_owned(),
                theirs: negotiated.payload_type.to_string(),
            });
        }
        self.agree(negotiated);
        Ok(())
    }

    /// Starts RTP both ways, unless it runs already, or nothing is agreed on.
    pub(super) fn start(&mut self, tasks: &TaskTracker, cancel: &CancellationToken, room: &RoomLeg) {
        if let Some(heard) = self.open(tasks, cancel) {
            heard.carry_into(room, tasks, cancel);
        }
    }

    /// The same without a room: what the phone says is for whoever takes it.
    pub(super) fn open(&mut self, tasks: &TaskTracker, cancel: &CancellationToken) -> Option<Heard> {
        let (State::Waiting(waiting), Some(negotiated)) = (&mut self.state, &self.negotiated) else {
            return None;
        };
        let (port, changes) = waiting.take()?;
        let session = RtpSession::start(port, SessionOptions::from(negotiated), tasks, cancel.clone());
        let RtpSession {
            sender,
            frames,
            digits,
            control,
        } = session;
        tasks.spawn(Downlink::new(sender, changes, Arc::clone(&self.faults)).run(cancel.clone()));
        self.state = State::Running(control);
        Some(Heard {
            frames,
            digits,
            sample_rate_hz: negotiated.codec.sample_rate_hz(),
        })
    }

    /// The call is answered: from now on the other side owes sound.
    pub(super) fn expect_sound(&self) {
        if let State::Running(control) = &self.state {
            control.expect();
        }
    }

    /// Resolves when the caller sends no RTP; never while it is not meant to. Cancel-safe.
    pub(super) async fn timed_out(&self, first: Duration, later: Duration) {
        match &self.state {
            State::Running(control) if !self.is_held() => control.media_timeout(first, later).await,
            _ => pending().await,
        }
    }

    fn is_held(&self) -> bool {
        self.negotiated.is_some_and(|negotiated| negotiated.held)
    }

    /// Answers an offer within the call; `None` leaves the session as it was. A request for an offer gets one, for sound both ways: so a
    /// call comes back from hold. Its answer is for [`MediaLeg::accept`].
    pub(super) fn renegotiate(&mut self, offer: Option<&[u8]>) -> Option<Vec<u8>> {
        let Some(offer) = offer else {
            self.version += 1;
            self.description = offered_again(&self.description, self.version);
            return Some(self.description());
        };
        let agreed = self.negotiated?;
        // The codec stays: both directions' encoders carry the history of the stream.
        let codecs = [agreed.codec];
        let local = LocalMedia {
            version: self.version + 1,
            ..self.local(&codecs)
        };
        let (answer, negotiated) = sdp::answer(offer, &local).ok()?;
        if negotiated.payload_type != agreed.payload_type {
            return None;
        }
        self.version += 1;
        self.description = answer;
        self.agree(negotiated);
        tracing::info!(
            step = "renegotiated",
            held = negotiated.held,
            "the other side changed the session"
        );
        Some(self.description())
    }

    /// Takes digits for the phone.
    pub(super) fn keypad(&self) -> mpsc::Sender<Change> {
        self.changes.clone()
    }

    /// Lets the phone hear this in place of the room, or the room again.
    pub(super) async fn play(&self, sound: Option<Sound>) {
        self.change(Change::Play(sound)).await;
    }

    pub(super) async fn add_track(&self, sid: String, track: RemoteAudioTrack) {
        self.change(Change::Add { sid, track }).await;
    }

    pub(super) async fn remove_track(&self, sid: String) {
        self.change(Change::Remove { sid }).await;
    }

    pub(super) async fn press(&self, digit: Digit) {
        self.change(Change::Press(digit)).await;
    }

    /// Whether digits can come by telephone-events.
    pub(super) fn has_events(&self) -> bool {
        self.negotiated
            .is_some_and(|negotiated| negotiated.events.is_some())
    }

    /// The codec agreed on.
    pub(super) fn codec(&self) -> Option<Codec> {
        self.negotiated.map(|negotiated| negotiated.codec)
    }

    /// How the sound is encrypted, if it is.
    pub(super) fn suite(&self) -> Option<Suite> {
        let srtp = self.negotiated.and_then(|negotiated| negotiated.srtp);
        srtp.map(|srtp| srtp.suite)
    }

    pub(super) fn stats(&self) -> Option<RtpStats> {
        match &self.state {
            State::Running(control) => Some(control.stats()),
            State::Waiting(_) => None,
        }
    }

    /// What the room's sound suffered on its way to the phone.
    pub(super) fn faults(&self) -> Faults {
        *self.faults.lock()
    }

    async fn change(&self, change: Change) {
        // Before the answer nobody takes changes: they wait in the queue, and beyond it they are lost, as ringing calls hear nothing.
        match &self.state {
            State::Running(_) => drop(self.changes.send(change).await),
            State::Waiting(_) => drop(self.changes.try_send(change)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_within_the_call_is_what_stands_with_a_new_version_and_both_directions() {
        let stands = "v=0\r\no=- 17 2 IN IP4 192.0.2.1\r\ns=x\r\nm=audio 20000 RTP/AVP 0 96\r\na=recvonly\r\nm=video 0 RTP/AVP 99\r\n";
        let offered = "v=0\r\no=- 17 3 IN IP4 192.0.2.1\r\ns=x\r\nm=audio 20000 RTP/AVP 0 96\r\na=sendrecv\r\nm=video 0 RTP/AVP 99\r\n";
        assert_eq!(offered_again(stands, 3), offered);
    }
}
