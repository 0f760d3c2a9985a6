//! What a `DataChannel` and the driver share: a bounded queue of messages on the way out, and the callbacks.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::data_channel::{
    DataBuffer, DataChannelError, DataChannelInit, DataChannelState, OnBufferedAmountChange, OnMessage,
    OnStateChange,
};

/// What may wait in one channel, as in the original.
const MOST_BUFFERED_BYTES: u64 = 16 << 20;
/// A longer message never fits the SCTP send buffer.
const LONGEST_MESSAGE_BYTES: usize = 128 << 10;
/// What is kept of messages that come before anybody listens.
const MOST_UNHEARD_BYTES: usize = 4 << 20;

pub(crate) struct Channel {
    pub(crate) label: String,
    pub(crate) init: DataChannelInit,
    id: AtomicI32,
    state: Mutex<DataChannelState>,
    outgoing: Mutex<VecDeque<Message>>,
    /// Bytes in `outgoing`.
    queued: AtomicU64,
    /// Bytes queued here or in SCTP, as last told to the callback.
    buffered: AtomicU64,
    close_requested: AtomicBool,
    callbacks: Mutex<Callbacks>,
    /// Wakes the driver.
    wake: Arc<Notify>,
}

struct Message {
    data: Vec<u8>,
    binary: bool,
}

#[derive(Default)]
struct Callbacks {
    state: Option<OnStateChange>,
    message: Option<OnMessage>,
    buffered: Option<OnBufferedAmountChange>,
    unheard: Vec<Message>,
    unheard_bytes: usize,
}

/// What SCTP said to a message.
pub(crate) enum Written {
    Accepted,
    /// Its buffer is full: later.
    Refused,
    /// It never will.
    Failed,
}

impl Channel {
    pub(crate) fn new(label: String, init: DataChannelInit, wake: Arc<Notify>) -> Arc<Self> {
        let id = if init.negotiated { init.id } else { -1 };
        Arc::new(Self {
            label,
            init,
            id: AtomicI32::new(id),
            state: Mutex::new(DataChannelState::Connecting),
            outgoing: Mutex::default(),
            queued: AtomicU64::new(0),
            buffered: AtomicU64::new(0),
            close_requested: AtomicBool::new(false),
            callbacks: Mutex::default(),
            wake,
        })
    }

    pub(crate) fn id(&self) -> i32 {
        self.id.load(Ordering::Acquire)
    }

    pub(crate) fn state(&self) -> DataChannelState {
        *self.state.lock()
    }

    pub(crate) fn buffered(&self) -> u64 {
        self.buffered.load(Ordering::Acquire)
    }

    pub(crate) fn send(&self, data: &[u8], binary: bool) -> Result<(), DataChannelError> {
        let length = data.len() as u64;
        let full = self.buffered() + length > MOST_BUFFERED_BYTES;
        if self.state() != DataChannelState::Open || full || data.len() > LONGEST_MESSAGE_BYTES {
            return Err(DataChannelError::Send);
        }
        self.buffered.fetch_add(length, Ordering::AcqRel);
        self.queued.fetch_add(length, Ordering::AcqRel);
        self.outgoing.lock().push_back(Message {
            data: data.to_vec(),
            binary,
        });
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.close_requested.store(true, Ordering::Release);
        let next = match self.state() {
            DataChannelState::Connecting => DataChannelState::Closed,
            _ => DataChannelState::Closing,
        };
        self.set_state(next);
        self.wake.notify_one();
    }

    pub(crate) fn on_state_change(&self, callback: Option<OnStateChange>) {
        self.callbacks.lock().state = callback;
    }

    pub(crate) fn on_message(&self, callback: Option<OnMessage>) {
        let mut callbacks = self.callbacks.lock();
        callbacks.message = callback;
        let Callbacks {
            message: Some(message),
            unheard,
            unheard_bytes,
            ..
        } = &mut *callbacks
        else {
            return;
        };
        *unheard_bytes = 0;
        for Message { data, binary } in unheard.drain(..) {
            message(DataBuffer { data: &data, binary });
        }
    }

    pub(crate) fn on_buffered_amount_change(&self, callback: Option<OnBufferedAmountChange>) {
        self.callbacks.lock().buffered = callback;
    }

    /// The driver's: the state is new. A closed channel stays closed.
    pub(crate) fn set_state(&self, next: DataChannelState) {
        let mut state = self.state.lock();
        if *state == next || *state == DataChannelState::Closed {
            return;
        }
        *state = next;
        drop(state);
        if let Some(callback) = &mut self.callbacks.lock().state {
            callback(next);
        }
    }

    /// The driver's: the channel is open on the SCTP stream `id`, unless it is being closed.
    pub(crate) fn opened(&self, id: i32) {
        self.id.store(id, Ordering::Release);
        if !self.close_requested() {
            self.set_state(DataChannelState::Open);
        }
    }

    /// The driver's: a message came in.
    pub(crate) fn receive(&self, data: Vec<u8>, binary: bool) {
        let mut callbacks = self.callbacks.lock();
        if let Some(callback) = &mut callbacks.message {
            callback(DataBuffer { data: &data, binary });
        } else if callbacks.unheard_bytes + data.len() <= MOST_UNHEARD_BYTES {
            callbacks.unheard_bytes += data.len();
            callbacks.unheard.push(Message { data, binary });
        } else {
            log::warn!(
                "data channel {}: nobody listens, a message is dropped",
                self.label
            );
        }
    }

    /// The driver's: whether the program wants it closed, and nothing is left to be sent.
    pub(crate) fn close_requested(&self) -> bool {
        self.close_requested.load(Ordering::Acquire) && self.outgoing.lock().is_empty()
    }

    /// The driver's: hands messages over until SCTP takes no more. Returns whether any was taken.
    pub(crate) fn flush(&self, mut write: impl FnMut(bool, &[u8]) -> Written) -> bool {
        let mut taken = false;
        let mut outgoing = self.outgoing.lock();
        while let Some(message) = outgoing.front() {
            match write(message.binary, &message.data) {
                Written::Accepted => taken = true,
                Written::Refused => break,
                Written::Failed => {
                    log::warn!(
                        "data channel {}: {} bytes cannot be sent",
                        self.label,
                        message.data.len()
                    );
                }
            }
            self.queued.fetch_sub(message.data.len() as u64, Ordering::AcqRel);
            outgoing.pop_front();
        }
        taken
    }

    /// The driver's: SCTP still holds `in_sctp` bytes. Tells the program what has left.
    pub(crate) fn report_buffered(&self, in_sctp: u64) {
        let before = self.buffered();
        let held = self.queued.load(Ordering::Acquire) + in_sctp;
        let left = before.saturating_sub(held);
        if left == 0 {
            return;
        }
        self.buffered.fetch_sub(left, Ordering::AcqRel);
        if let Some(callback) = &mut self.callbacks.lock().buffered {
            callback(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_channel() -> Arc<Channel> {
        let channel = Channel::new("c".into(), DataChannelInit::default(), Arc::default());
        channel.opened(3);
        channel
    }

    fn counter() -> (Arc<AtomicU64>, OnBufferedAmountChange) {
        let total = Arc::new(AtomicU64::new(0));
        let counted = total.clone();
        let callback = Box::new(move |bytes| {
            counted.fetch_add(bytes, Ordering::Relaxed);
        });
        (total, callback)
    }

    #[test]
    fn the_reports_sum_up_to_what_was_sent() {
        let channel = open_channel();
        let (total, callback) = counter();
        channel.on_buffered_amount_change(Some(callback));
        for length in [100, 200, 300] {
            channel.send(&vec![0; length], true).unwrap();
        }
        let mut room = 1;
        channel.flush(|_, _| {
            let accepted = room > 0;
            room -= 1;
            if accepted {
                Written::Accepted
            } else {
                Written::Refused
            }
        });
        channel.report_buffered(40);
        assert_eq!(total.load(Ordering::Relaxed), 60);
        assert_eq!(channel.buffered(), 540);
        assert!(channel.flush(|_, _| Written::Accepted));
        channel.report_buffered(0);
        assert_eq!(total.load(Ordering::Relaxed), 600);
        assert_eq!(channel.buffered(), 0);
    }

    #[test]
    fn the_queue_is_bounded() {
        let channel = open_channel();
        let message = vec![0; LONGEST_MESSAGE_BYTES];
        let accepted = (0..200).filter(|_| channel.send(&message, true).is_ok()).count();
        assert_eq!(accepted as u64, MOST_BUFFERED_BYTES / message.len() as u64);
        assert!(
            open_channel()
                .send(&vec![0; LONGEST_MESSAGE_BYTES + 1], true)
                .is_err()
        );
    }

    #[test]
    fn messages_wait_for_a_listener() {
        let channel = open_channel();
        channel.receive(vec![1], true);
        channel.receive(vec![2], true);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = heard.clone();
        channel.on_message(Some(Box::new(move |message| {
            listener.lock().extend_from_slice(message.data);
        })));
        channel.receive(vec![3], true);
        assert_eq!(*heard.lock(), [1, 2, 3]);
    }

    #[test]
    fn a_closed_channel_takes_nothing_and_stays_closed() {
        let channel = Channel::new("c".into(), DataChannelInit::default(), Arc::default());
        assert!(channel.send(b"x", true).is_err());
        channel.close();
        channel.opened(1);
        assert_eq!(channel.state(), DataChannelState::Closed);
        assert!(channel.send(b"x", true).is_err());
    }

    #[test]
    fn closing_waits_for_what_is_queued() {
        let channel = open_channel();
        channel.send(b"x", true).unwrap();
        channel.close();
        assert!(!channel.close_requested());
        channel.flush(|_, _| Written::Accepted);
        assert!(channel.close_requested());
    }
}
