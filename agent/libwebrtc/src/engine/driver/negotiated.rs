//! Putting commands into effect. `str0m`'s direct interface panics on what was not declared to it, so everything is looked up first.

use str0m::{
    Candidate,
    media::{MediaKind, Mid},
    net::{Protocol, TcpType},
    rtp::Ssrc,
};

use super::{
    Command, Driver, MediaPlan, Negotiated, ReceivePlan, SendPlan,
    media::{Receiver, Sender, SentMedia},
};
use crate::{
    MediaType,
    engine::{audio::AudioSender, video::VideoPlaceholder},
    media_stream_track::MediaStreamTrack,
};

/// Candidates of the peer that are kept; a server has a handful.
const MOST_CANDIDATES: usize = 64;

impl Driver {
    pub(super) fn execute(&mut self, command: Command) {
        match command {
            Command::Negotiated(negotiated) => self.apply(*negotiated),
            Command::RemoteCandidate(candidate) => self.add_remote_candidate(&candidate),
            Command::LocalCredentials(credentials) => {
                self.rtc.direct_api().set_local_ice_credentials(credentials);
            }
            Command::OpenChannel(channel) => self.open_channel(channel),
            Command::StopSending { ssrc } => self.stop_sending(ssrc.into()),
            #[cfg(test)]
            Command::Panic => panic!("as the test asked"),
        }
    }

    fn apply(&mut self, negotiated: Negotiated) {
        let Negotiated {
            credentials,
            fingerprint,
            dtls_active,
            controlling,
            sctp,
            candidates,
            media,
            channels,
        } = negotiated;
        let restarted = self
            .remote_ufrag
            .as_ref()
            .is_some_and(|before| *before != credentials.ufrag);
        self.remote_ufrag = Some(credentials.ufrag.clone());
        let mut api = self.rtc.direct_api();
        api.set_ice_controlling(controlling);
        api.set_remote_ice_credentials(credentials);
        if restarted {
            self.forget_candidates();
        }
        self.start_dtls(&fingerprint, dtls_active);
        if sctp {
            // Nothing happens when it runs already.
            self.rtc.direct_api().start_sctp(dtls_active);
        }
        for candidate in &candidates {
            self.add_remote_candidate(candidate);
        }
        for plan in media {
            self.apply_media(plan);
        }
        for channel in channels {
            self.open_channel(channel);
        }
    }

    /// The peer restarted ICE: what it named before is void.
    fn forget_candidates(&mut self) {
        let mut api = self.rtc.direct_api();
        for candidate in self.remote_candidates.drain(..) {
            api.invalidate_candidate(&candidate);
        }
        for candidate in self.transport.tcp.restart() {
            api.invalidate_candidate(&candidate);
        }
    }

    fn start_dtls(&mut self, fingerprint: &str, active: bool) {
        if std::mem::replace(&mut self.dtls_started, true) {
            return;
        }
        let mut api = self.rtc.direct_api();
        match fingerprint.parse() {
            Ok(fingerprint) => api.set_remote_fingerprint(fingerprint),
            // Without one, the handshake is refused.
            Err(error) => log::warn!("the peer's fingerprint is unreadable: {error}"),
        }
        api.enable_twcc_feedback();
        if let Err(error) = api.start_dtls(active) {
            log::error!("DTLS does not start: {error}");
        }
    }

    pub(super) fn add_remote_candidate(&mut self, line: &str) {
        let line = line.strip_prefix("a=").unwrap_or(line);
        let line = if line.starts_with("candidate:") {
            line.to_owned()
        } else {
            format!("candidate:{line}")
        };
        let candidate = match Candidate::from_sdp_string(&line) {
            Ok(candidate) => candidate,
            Err(error) => {
                log::warn!("a candidate of the peer is unreadable: {error}");
                return;
            }
        };
        if self.remote_candidates.len() == MOST_CANDIDATES {
            return;
        }
        if candidate.proto() == Protocol::Tcp {
            if candidate.tcptype() != Some(TcpType::Passive) {
                return;
            }
            let udp = self
                .remote_candidates
                .iter()
                .any(|other| other.proto() == Protocol::Udp);
            self.transport.tcp.connect(candidate.addr(), udp);
        }
        self.remote_candidates.push(candidate.clone());
        self.rtc.add_remote_candidate(candidate);
    }

    fn apply_media(&mut self, plan: MediaPlan) {
        let mid: Mid = plan.mid.as_str().into();
        if self.rtc.media(mid).is_none() {
            let kind = match plan.kind {
                MediaType::Audio => MediaKind::Audio,
                _ => MediaKind::Video,
            };
            self.rtc.direct_api().declare_media(mid, kind);
        }
        if let Some(send) = plan.send {
            self.start_sending(mid, send);
        }
        self.set_receiver(mid, plan.receive);
    }

    fn start_sending(&mut self, mid: Mid, plan: SendPlan) {
        let ssrc: Ssrc = plan.ssrc.into();
        if let Some(sender) = self.senders.iter_mut().find(|sender| sender.ssrc == ssrc) {
            sender.payload_type = plan.payload_type;
            return;
        }
        if self.rtc.media(mid).is_none() {
            return;
        }
        let media = match plan.track {
            MediaStreamTrack::Audio(track) => {
                let Some(sender) = AudioSender::new(track.0, plan.seal) else {
                    return;
                };
                SentMedia::Audio(Box::new(sender))
            }
            MediaStreamTrack::Video(_) => SentMedia::Video(VideoPlaceholder::new()),
        };
        let mut api = self.rtc.direct_api();
        api.declare_stream_tx(ssrc, None, mid, None).set_unpaced(true);
        self.senders.push(Sender {
            ssrc,
            payload_type: plan.payload_type,
            media,
        });
    }

    fn stop_sending(&mut self, ssrc: Ssrc) {
        self.senders.retain(|sender| sender.ssrc != ssrc);
        self.rtc.direct_api().remove_stream_tx(ssrc);
    }

    /// Follows the description: begins, goes on, changes to another stream, or ends.
    fn set_receiver(&mut self, mid: Mid, plan: Option<ReceivePlan>) {
        let wanted = plan.as_ref().and_then(|plan| plan.ssrc).map(Ssrc::from);
        let current = self.receivers.iter().position(|receiver| receiver.mid == mid);
        if let (Some(index), Some(plan)) = (current, &plan) {
            let unchanged = wanted.is_none() || self.receivers.get(index).is_some_and(|r| r.ssrc == wanted);
            if unchanged && self.receivers.get(index).is_some_and(|r| r.is_for(&plan.track)) {
                return;
            }
        }
        if let Some(before) = current.map(|index| self.receivers.swap_remove(index))
            && let Some(ssrc) = before.ssrc
        {
            self.rtc.direct_api().remove_stream_rx(ssrc);
        }
        let Some(plan) = plan else { return };
        if let Some(ssrc) = wanted
            && self.rtc.media(mid).is_some()
        {
            self.rtc.direct_api().expect_stream_rx(ssrc, None, mid, None);
        }
        let track = match plan.track {
            MediaStreamTrack::Audio(track) => Some(track.0),
            MediaStreamTrack::Video(_) => None,
        };
        if let Some(track) = &track {
            track.restart();
        }
        self.receivers.push(Receiver {
            mid,
            ssrc: wanted,
            track,
            seal: plan.seal,
        });
    }
}

impl Receiver {
    fn is_for(&self, track: &MediaStreamTrack) -> bool {
        match (&self.track, track) {
            (Some(ours), MediaStreamTrack::Audio(theirs)) => std::sync::Arc::ptr_eq(ours, &theirs.0),
            (None, MediaStreamTrack::Video(_)) => true,
            _ => false,
        }
    }
}
