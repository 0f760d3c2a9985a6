//! What is behind the facade.
//!
//! A [`peer::Peer`] holds what the API can ask for and negotiates (`negotiation`, over `sdp`). From the first local description on it
//! has a `driver`: one task that owns the sockets (`transport`), the `str0m` session and the clocks, and is told of what was
//! negotiated by bounded commands. Sound passes through `audio`, without any clock or socket of its own.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "media code converts between wire and sample types; the ranges are stated where they matter"
)]

use std::{cell::Cell, sync::OnceLock};

use tokio::runtime::{Builder, Runtime};

use crate::{RtcError, RtcErrorType};

pub(crate) mod audio;
pub(crate) mod channel;
pub(crate) mod clock;
pub(crate) mod driver;
pub(crate) mod ice_tcp;
pub(crate) mod ident;
pub(crate) mod identity;
mod negotiation;
pub(crate) mod peer;
pub(crate) mod sdp;
pub(crate) mod track;
pub(crate) mod transceiver;
pub(crate) mod transport;
pub(crate) mod video;

thread_local! {
    static ENGINE_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// The engine's own threads. They live as long as the process.
///
/// # Panics
/// When the process cannot start two threads.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("rtc-engine")
            .on_thread_start(|| ENGINE_THREAD.set(true))
            .enable_all()
            .build()
            .expect("the process can start two threads")
    })
}

/// Whether the caller runs on one of the engine's threads, where waiting for the engine would block it.
pub(crate) fn on_engine_thread() -> bool {
    ENGINE_THREAD.get()
}

pub(crate) fn internal(message: impl Into<String>) -> RtcError {
    RtcError {
        error_type: RtcErrorType::Internal,
        message: message.into(),
    }
}

pub(crate) fn invalid_state(message: impl Into<String>) -> RtcError {
    RtcError {
        error_type: RtcErrorType::InvalidState,
        message: message.into(),
    }
}
