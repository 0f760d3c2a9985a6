//! What a phone says, from its session into the room, which it may get later.

use std::future::pending;

use media::{Digit, Frame};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::{self, Rates};
use crate::room::RoomLeg;

/// What a phone says that has no room yet.
pub(super) struct Heard {
    pub(super) frames: mpsc::Receiver<Frame>,
    pub(super) digits: mpsc::Receiver<Digit>,
    pub(super) sample_rate_hz: u32,
}

impl Heard {
    /// The next key that is pressed; its sound goes nowhere. Never, when the session is over. Cancel-safe.
    pub(super) async fn key(&mut self) -> Digit {
        loop {
            tokio::select! {
                frame = self.frames.recv() => if frame.is_none() {
                    pending::<()>().await;
                },
                digit = self.digits.recv() => match digit {
                    Some(digit) => return digit,
                    None => pending().await,
                },
            }
        }
    }

    /// Carries it into the room from now on.
    pub(super) fn carry_into(self, room: &RoomLeg, tasks: &TaskTracker, cancel: &CancellationToken) {
        let Self {
            frames,
            digits,
            sample_rate_hz,
        } = self;
        let rates = Rates {
            from_hz: sample_rate_hz,
            to_hz: room.sample_rate_hz,
        };
        tasks.spawn(bridge::uplink(frames, room.source.clone(), rates, cancel.clone()));
        tasks.spawn(bridge::keys(digits, room.keypad(), cancel.clone()));
    }
}
