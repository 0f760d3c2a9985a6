//! The sending half of a stream, without socket and clock: 20 ms frames and digits in, datagrams out.

use audio::{Codec, Encoder, OpusOptions};

use crate::{
    Digit,
    dtmf::{Keypad, Step, TelephoneEvents, TooManyDigits},
    rtp::{HEADER_BYTES, Packet},
};

/// Where a stream begins. RFC 3550 §5.1 wants all three random, so that streams do not collide and cannot be
/// guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The stream's identifier.
    pub ssrc: u32,
    /// The first sequence number.
    pub sequence: u16,
    /// The first timestamp.
    pub timestamp: u32,
}

/// Makes the packets of one call. Every call of [`Transmitter::frame`] or [`Transmitter::skip`] stands for 20
/// ms, so that timestamps are continuous as long as its caller is.
pub struct Transmitter {
    codec: Codec,
    payload_type: u8,
    events: Option<TelephoneEvents>,
    next: Start,
    /// The timestamp of the event under way.
    event_timestamp: u32,
    /// The next audio packet is the first after a pause.
    marker: bool,
    encoder: Encoder,
    keypad: Keypad,
    payload: Vec<u8>,
    datagram: Vec<u8>,
}

impl Transmitter {
    /// A transmitter at the start of a stream. `opus` is what the peer wants of that codec.
    pub fn new(
        codec: Codec,
        payload_type: u8,
        events: Option<TelephoneEvents>,
        opus: OpusOptions,
        start: Start,
    ) -> Self {
        Self {
            codec,
            payload_type,
            events,
            next: start,
            event_timestamp: start.timestamp,
            marker: true,
            encoder: Encoder::with(codec, opus),
            keypad: Keypad::default(),
            payload: Vec::with_capacity(codec.max_frame_bytes()),
            datagram: Vec::with_capacity(HEADER_BYTES + codec.max_frame_bytes()),
        }
    }

    /// Hands the packets of the next 20 ms to `send`: one with the frame, or those of a digit in its place,
    /// of which the last comes three times.
    ///
    /// `pcm` is [`Codec::frame_samples`] long: what lacks is sent as silence, what is too much is not sent.
    pub fn frame(&mut self, pcm: &[i16], mut send: impl FnMut(&[u8])) {
        self.encode(pcm);
        match self
            .keypad
            .step(self.events.map_or(0, TelephoneEvents::frame_ticks))
        {
            Some(step) => self.event(step, &mut send),
            None => self.audio(&mut send),
        }
        self.next.timestamp = self.next.timestamp.wrapping_add(self.codec.frame_ticks());
    }

    /// Lets 20 ms pass without a packet.
    pub fn skip(&mut self) {
        self.next.timestamp = self.next.timestamp.wrapping_add(self.codec.frame_ticks());
        self.marker = true;
    }

    /// Sends this digit in place of the next frames, after those that wait already (at most 32). Without
    /// telephone-events agreed on it is dropped, as there is no way to send it.
    pub fn press(&mut self, digit: Digit) -> Result<(), TooManyDigits> {
        if self.events.is_none() {
            return Ok(());
        }
        self.keypad.press(digit)
    }

    /// Whether digits are being sent or wait.
    pub fn is_pressing(&self) -> bool {
        !self.keypad.is_idle()
    }

    /// The time of the next frame.
    pub fn timestamp(&self) -> u32 {
        self.next.timestamp
    }

    /// The stream's identifier.
    pub fn ssrc(&self) -> u32 {
        self.next.ssrc
    }

    /// Encodes also what a digit displaces: the far decoder's history and ours then differ by those frames
    /// only.
    fn encode(&mut self, pcm: &[i16]) {
        self.payload.clear();
        let samples = self.codec.frame_samples();
        let kept = &pcm[..pcm.len().min(samples)];
        if kept.len() == samples {
            self.encoder.encode(kept, &mut self.payload);
            return;
        }
        let mut padded = [0; Codec::MAX_FRAME_SAMPLES];
        padded[..kept.len()].copy_from_slice(kept);
        self.encoder.encode(&padded[..samples], &mut self.payload);
    }

    fn audio(&mut self, send: &mut impl FnMut(&[u8])) {
        self.datagram.clear();
        Packet {
            marker: std::mem::take(&mut self.marker),
            payload_type: self.payload_type,
            sequence: self.next.sequence,
            timestamp: self.next.timestamp,
            ssrc: self.next.ssrc,
            payload: &self.payload,
        }
        .write(&mut self.datagram);
        self.next.sequence = self.next.sequence.wrapping_add(1);
        send(&self.datagram);
    }

    fn event(&mut self, step: Step, send: &mut impl FnMut(&[u8])) {
        let Some(TelephoneEvents { payload_type, .. }) = self.events else {
            return;
        };
        if step.first {
            self.event_timestamp = self.next.timestamp;
        }
        for _ in 0..step.copies {
            self.datagram.clear();
            Packet {
                marker: step.first,
                payload_type,
                sequence: self.next.sequence,
                timestamp: self.event_timestamp,
                ssrc: self.next.ssrc,
                payload: &step.event.bytes(),
            }
            .write(&mut self.datagram);
            self.next.sequence = self.next.sequence.wrapping_add(1);
            send(&self.datagram);
        }
    }
}
