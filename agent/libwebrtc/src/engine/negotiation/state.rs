//! The negotiation's effect on the state: sections, tracks, and the plan for the driver.

use std::sync::Arc;

use super::{
    describe::{OPUS, offered_extensions, payload_type},
    invalid_sdp, parse,
};
use crate::{
    MediaType, RtcError,
    data_channel::DataChannelState,
    engine::{
        channel::Channel,
        driver::{self, MediaPlan, Negotiated, ReceivePlan, SendPlan},
        invalid_state,
        peer::{PeerState, Slot, fresh_credentials},
        sdp::{Sdp, Section, SectionKind},
        transceiver::{Transceiver, remote_track},
    },
    media_stream::MediaStream,
    peer_connection::{SignalingState, TrackEvent},
    rtp_receiver::RtpReceiver,
    rtp_transceiver::RtpTransceiver,
};

impl PeerState {
    pub(super) fn expect_signaling(&self, allowed: &[SignalingState]) -> Result<(), RtcError> {
        if allowed.contains(&self.signaling) {
            return Ok(());
        }
        Err(invalid_state(format!(
            "the description does not fit the state {:?}",
            self.signaling
        )))
    }

    /// Gives every transceiver a section, and the channels one together.
    pub(super) fn assign_sections(&mut self) {
        for transceiver in self.transceivers.clone() {
            if transceiver.state.lock().mid.is_none() {
                transceiver.state.lock().mid = Some(self.unused_mid());
                self.slots.push(Slot::Media(transceiver));
            }
        }
        let has_application = self
            .slots
            .iter()
            .any(|slot| matches!(slot, Slot::Application { .. }));
        if !self.channels.is_empty() && !has_application {
            let mid = self.unused_mid();
            self.slots.push(Slot::Application { mid });
        }
    }

    pub(super) fn unused_mid(&self) -> String {
        let taken: Vec<String> = self.slots.iter().map(Slot::mid).collect();
        let mut numbers = (self.slots.len()..).map(|number| number.to_string());
        numbers.find(|mid| !taken.contains(mid)).unwrap_or_default()
    }

    /// Makes room for the sections of the peer's offer that are new.
    pub(super) fn adopt_offer(&mut self, offer: &Sdp) -> Result<(), RtcError> {
        if offer
            .sections
            .iter()
            .any(|section| section.kind == SectionKind::Other)
        {
            return Err(invalid_sdp("a section is neither audio, video nor application"));
        }
        if self.extensions.is_none() {
            let mut audio = offer
                .sections
                .iter()
                .filter(|section| section.kind == SectionKind::Audio);
            self.extensions = Some(audio.next().map_or_else(offered_extensions, |section| {
                section
                    .extmaps()
                    .filter(|extmap| driver::known_extension(&extmap.uri).is_some())
                    .collect()
            }));
            let payload_types = offer
                .sections
                .iter()
                .filter_map(|section| section.payload_type(OPUS));
            self.opus_payload_types = payload_types.collect();
        }
        for section in &offer.sections {
            if self.slots.iter().any(|slot| slot.mid() == section.mid()) {
                continue;
            }
            let slot = self.slot_for(section);
            self.slots.push(slot);
        }
        Ok(())
    }

    /// When the peer restarts ICE, so do we (RFC 8839 §4.4.1.1.1).
    pub(super) fn follow_restart(&mut self, offer: &Sdp) {
        let before = self
            .current_remote
            .as_ref()
            .and_then(|description| parse(description).ok());
        let Some(before) = before else { return };
        if before.transport("ice-ufrag") != offer.transport("ice-ufrag") {
            self.next_credentials = Some(fresh_credentials());
        }
    }

    /// RFC 9429 §5.10: a transceiver of ours that waits for a section is taken when the peer wants to receive, else a new one is made.
    pub(super) fn slot_for(&mut self, section: &Section) -> Slot {
        let kind = match section.kind {
            SectionKind::Application => {
                return Slot::Application {
                    mid: section.mid().to_owned(),
                };
            }
            SectionKind::Audio => MediaType::Audio,
            SectionKind::Video | SectionKind::Other => MediaType::Video,
        };
        let waits = |transceiver: &&Arc<Transceiver>| {
            let state = transceiver.state.lock();
            transceiver.kind == kind && state.mid.is_none() && state.has_sender
        };
        let waiting = self.transceivers.iter().find(waits).cloned();
        let transceiver = waiting
            .filter(|_| section.direction().receives)
            .unwrap_or_else(|| {
                let transceiver = Transceiver::receiving(kind);
                self.transceivers.push(transceiver.clone());
                transceiver
            });
        transceiver.state.lock().mid = Some(section.mid().to_owned());
        Slot::Media(transceiver)
    }

    pub(super) fn transceiver(&self, mid: &str) -> Option<&Arc<Transceiver>> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Media(transceiver) if transceiver.has_mid(mid) => Some(transceiver),
            _ => None,
        })
    }

    /// The streams follow the latest description; the event is for a section that the peer begins to send in.
    pub(super) fn note_remote_tracks(&self, remote: &Sdp) -> Vec<TrackEvent> {
        let mut added = Vec::new();
        for section in &remote.sections {
            let Some(transceiver) = self.transceiver(section.mid()) else {
                continue;
            };
            let mut state = transceiver.state.lock();
            if !state.agreed(section.direction()).receives {
                state.receive_streams.clear();
                continue;
            }
            let began = state.receive_streams.is_empty();
            let msid = section.msid();
            let stream = msid.as_ref().map_or("-", |msid| &msid.stream).to_owned();
            if began && let Some(msid) = msid {
                state.receive_track = remote_track(transceiver.kind, msid.track);
            }
            state.receive_streams = vec![stream.clone()];
            if began {
                added.push(TrackEvent {
                    receiver: RtpReceiver(transceiver.clone()),
                    streams: vec![MediaStream(stream)],
                    track: state.receive_track.clone(),
                    transceiver: RtpTransceiver(transceiver.clone()),
                });
            }
        }
        added
    }

    pub(super) fn negotiated(&mut self, remote: &Sdp, we_answered: bool) -> Result<Negotiated, RtcError> {
        let attribute = |name| {
            let value = remote.transport(name);
            value
                .map(str::to_owned)
                .ok_or_else(|| invalid_sdp(&format!("the description has no {name}")))
        };
        let credentials = str0m::ice::IceCreds {
            ufrag: attribute("ice-ufrag")?,
            pass: attribute("ice-pwd")?,
        };
        let sections = || remote.sections.iter();
        let sctp = sections().any(|section| section.kind == SectionKind::Application && !section.rejected());
        // Component 2 would be RTCP, which is multiplexed.
        let component_1 = |candidate: &&str| candidate.split(' ').nth(1) == Some("1");
        let candidates = sections().flat_map(|section| section.candidates().filter(component_1));
        Ok(Negotiated {
            credentials,
            fingerprint: attribute("fingerprint")?,
            dtls_active: we_answered || remote.transport("setup") == Some("passive"),
            controlling: self.offerer || remote.attributes.has("ice-lite"),
            sctp,
            candidates: candidates.map(str::to_owned).collect(),
            media: sections()
                .filter_map(|section| self.media_plan(section))
                .collect(),
            channels: self.channels_to_open(sctp),
        })
    }

    pub(super) fn media_plan(&self, section: &Section) -> Option<MediaPlan> {
        let transceiver = self.transceiver(section.mid())?;
        let mut state = transceiver.state.lock();
        let agreed = state.agreed(section.direction());
        state.current_direction = Some(agreed.into());
        let audio = transceiver.kind == MediaType::Audio;
        let payload_type = payload_type(audio, Some(section));
        let sending = state.send_track.clone().filter(|_| agreed.sends);
        Some(MediaPlan {
            mid: section.mid().to_owned(),
            kind: transceiver.kind,
            send: sending.map(|track| SendPlan {
                ssrc: state.ssrc,
                payload_type,
                track,
                seal: transceiver.seal(),
            }),
            receive: agreed.receives.then(|| ReceivePlan {
                ssrc: section.ssrc(),
                track: state.receive_track.clone(),
                seal: transceiver.seal(),
            }),
        })
    }

    /// All that are not closed, once; later ones go to the driver as they are made.
    pub(super) fn channels_to_open(&mut self, sctp: bool) -> Vec<Arc<Channel>> {
        if !sctp || std::mem::replace(&mut self.channels_live, true) {
            return Vec::new();
        }
        let channels = self.channels.iter();
        channels
            .filter(|channel| channel.state() != DataChannelState::Closed)
            .cloned()
            .collect()
    }
}
