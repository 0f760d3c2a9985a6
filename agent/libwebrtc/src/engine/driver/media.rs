//! Tracks on the wire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use str0m::{
    media::Mid,
    rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc},
};

use super::Driver;
use crate::engine::{
    audio::{AudioPacket, AudioSender},
    clock::Tick,
    track::Track,
    video::VideoPlaceholder,
};

pub(super) struct Sender {
    pub(super) ssrc: Ssrc,
    pub(super) payload_type: u8,
    pub(super) media: SentMedia,
}

pub(super) enum SentMedia {
    Audio(Box<AudioSender>),
    Video(VideoPlaceholder),
}

pub(super) struct Receiver {
    pub(super) mid: Mid,
    pub(super) ssrc: Option<Ssrc>,
    /// `None` for video, which is not decoded.
    pub(super) track: Option<Arc<Track>>,
    pub(super) seal: Arc<AtomicBool>,
}

impl Sender {
    fn next(&mut self, tick: Tick, now: Instant) -> Option<RtpWrite> {
        match &mut self.media {
            SentMedia::Audio(sender) => {
                let AudioPacket {
                    sequence,
                    timestamp,
                    payload,
                    level_dbov,
                    voice,
                } = sender.next(tick.skipped, now)?;
                let values = ExtensionValues {
                    audio_level: Some(level_dbov),
                    voice_activity: Some(voice),
                    ..Default::default()
                };
                let packet =
                    RtpWrite::new(self.payload_type.into(), sequence.into(), timestamp, now, payload);
                Some(packet.ext_vals(values))
            }
            SentMedia::Video(placeholder) => placeholder.next(self.payload_type, now),
        }
    }
}

impl Driver {
    /// 20 ms have passed.
    pub(super) fn send_media(&mut self, tick: Tick, now: Instant) {
        for sender in &mut self.senders {
            let Some(packet) = sender.next(tick, now) else {
                continue;
            };
            if let Some(stream) = self.rtc.direct_api().stream_tx(&sender.ssrc) {
                stream.write_rtp(packet);
            }
        }
    }

    pub(super) fn receive_media(&mut self, packet: &RtpPacket) {
        let Some(receiver) = self.receiver_of(packet) else {
            return;
        };
        let Some(track) = receiver.track.clone() else {
            return;
        };
        if receiver.seal.load(Ordering::Acquire) {
            return;
        }
        let arrived = packet.timestamp.saturating_duration_since(self.epoch);
        let sequence = *packet.seq_no as u16;
        self.playing |= track.receive(sequence, packet.header.timestamp, &packet.payload, arrived);
    }

    /// By SSRC; a section that did not name its SSRC takes the first one that its mid comes with (RFC 9143 §9.2).
    fn receiver_of(&mut self, packet: &RtpPacket) -> Option<&Receiver> {
        let ssrc = packet.header.ssrc;
        let by_ssrc = self
            .receivers
            .iter()
            .position(|receiver| receiver.ssrc == Some(ssrc));
        let by_mid = |receivers: &[Receiver]| {
            let mid = packet.header.ext_vals.mid?;
            receivers
                .iter()
                .position(|receiver| receiver.mid == mid && receiver.ssrc.is_none())
        };
        let index = by_ssrc.or_else(|| by_mid(&self.receivers))?;
        let receiver = self.receivers.get_mut(index)?;
        receiver.ssrc = Some(ssrc);
        Some(receiver)
    }

    /// Every 10 ms that have passed yield a frame on every stream that has started.
    pub(super) fn play(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.epoch);
        while self.playout_clock.tick(now).is_some() {
            self.playing = false;
            for track in self
                .receivers
                .iter()
                .filter_map(|receiver| receiver.track.as_ref())
            {
                self.playing |= track.tick(since);
            }
        }
    }
}
