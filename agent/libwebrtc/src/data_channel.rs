//! Data channels.

use std::{fmt, sync::Arc};

use crate::engine::channel::Channel;
pub use crate::rtp_parameters::Priority;

#[derive(Clone, Debug)]
pub struct DataChannelInit {
    pub ordered: bool,
    /// In milliseconds.
    pub max_retransmit_time: Option<i32>,
    pub max_retransmits: Option<i32>,
    pub protocol: String,
    /// Agreed out of band: `id` is then the SCTP stream on both sides.
    pub negotiated: bool,
    pub id: i32,
    pub priority: Option<Priority>,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_retransmit_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: -1,
            priority: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DataChannelError {
    /// The channel is not open, its queue is full, or the message is longer than the peer takes. In the second case, try again when
    /// the buffered amount has fallen.
    #[error("failed to send data, dc not open? send buffer is full ?")]
    Send,
    #[error("only utf8 strings can be sent")]
    Utf8(#[from] std::str::Utf8Error),
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum DataChannelState {
    Connecting,
    Open,
    Closing,
    Closed,
}

#[derive(Debug)]
pub struct DataBuffer<'a> {
    pub data: &'a [u8],
    pub binary: bool,
}

pub type OnStateChange = Box<dyn FnMut(DataChannelState) + Send + Sync>;
pub type OnMessage = Box<dyn FnMut(DataBuffer<'_>) + Send + Sync>;
/// Told how many bytes left the queue since the last call; all calls together sum up to the bytes sent.
pub type OnBufferedAmountChange = Box<dyn FnMut(u64) + Send + Sync>;

#[derive(Clone)]
pub struct DataChannel(pub(crate) Arc<Channel>);

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel")
            .field("label", &self.label())
            .field("id", &self.id())
            .field("state", &self.state())
            .finish()
    }
}

impl DataChannel {
    /// Queues a message. Never blocks.
    ///
    /// # Errors
    /// See [`DataChannelError`].
    pub fn send(&self, data: &[u8], binary: bool) -> Result<(), DataChannelError> {
        if !binary {
            std::str::from_utf8(data)?;
        }
        self.0.send(data, binary)
    }

    /// The SCTP stream, or -1 before it is known.
    pub fn id(&self) -> i32 {
        self.0.id()
    }

    pub fn label(&self) -> String {
        self.0.label.clone()
    }

    pub fn state(&self) -> DataChannelState {
        self.0.state()
    }

    /// Bytes queued and not yet acknowledged.
    pub fn buffered_amount(&self) -> u64 {
        self.0.buffered()
    }

    pub fn close(&self) {
        self.0.close();
    }

    pub fn on_state_change(&self, callback: Option<OnStateChange>) {
        self.0.on_state_change(callback);
    }

    /// Messages that came before the callback was set are handed to it at once.
    pub fn on_message(&self, callback: Option<OnMessage>) {
        self.0.on_message(callback);
    }

    pub fn on_buffered_amount_change(&self, callback: Option<OnBufferedAmountChange>) {
        self.0.on_buffered_amount_change(callback);
    }
}
