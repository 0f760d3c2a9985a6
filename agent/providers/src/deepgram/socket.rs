//! A WebSocket to the service; each step of it is bounded.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use tokio::{
    net::TcpStream,
    time::{error::Elapsed, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        Error, Message, Utf8Bytes,
        client::IntoClientRequest,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{NAME, wire::ErrorBody};
use crate::{ProviderError, http};

/// A transcript of the longest piece is far below.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// For a few frames of sound. A peer that takes none for that long does not listen.
const SEND_LIMIT: Duration = Duration::from_secs(2);

pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What comes of a socket.
pub(super) enum Incoming {
    Text(Utf8Bytes),
    /// In good order.
    Closed,
    /// Neither text nor an end.
    Nothing,
}

impl Socket {
    pub(super) async fn open(
        place: &str,
        authorization: &HeaderValue,
        limit: Duration,
    ) -> Result<Self, ProviderError> {
        let mut request = place.into_client_request().map_err(broken("cannot connect"))?;
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        // Frames of 20 ms are not to wait for each other.
        let connecting = connect_async_with_config(request, Some(config), true);
        match timeout(limit, Box::pin(connecting)).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(Error::Http(response))) => {
                let code = response.body().as_deref().and_then(ErrorBody::code);
                Err(http::refusal(NAME, response.status(), code.as_deref()))
            }
            Ok(Err(error)) => Err(broken("cannot connect")(error)),
            Err(Elapsed { .. }) => Err(ProviderError::Timeout {
                provider: NAME,
                after: limit,
            }),
        }
    }

    pub(super) async fn sound(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        self.send(Message::binary(bytes)).await
    }

    pub(super) async fn control(&mut self, message: &'static str) -> Result<(), ProviderError> {
        self.send(Message::text(message)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), ProviderError> {
        timeout(SEND_LIMIT, self.0.send(message))
            .await
            .map_err(|_| ProviderError::Timeout {
                provider: NAME,
                after: SEND_LIMIT,
            })?
            .map_err(broken("the connection broke"))
    }

    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Incoming, ProviderError> {
        let message = self.0.next().await.transpose();
        match message.map_err(broken("the connection broke"))? {
            Some(Message::Text(text)) => Ok(Incoming::Text(text)),
            Some(Message::Close(frame)) => closed(frame),
            Some(_) => Ok(Incoming::Nothing),
            None => Ok(Incoming::Closed),
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Result<Incoming, ProviderError> {
    let Some(CloseFrame { code, reason }) = frame else {
        return Ok(Incoming::Closed);
    };
    // `DATA-0000`, `NET-0001`: a code, and no sentence.
    let why = if http::is_code(&reason) {
        format!(" ({reason})")
    } else {
        String::new()
    };
    let reason = format!("it closed the connection: {}{why}", u16::from(code));
    match code {
        CloseCode::Normal => Ok(Incoming::Closed),
        CloseCode::Policy | CloseCode::Unsupported | CloseCode::Invalid => Err(ProviderError::Refused {
            provider: NAME,
            reason,
        }),
        _ => Err(ProviderError::Unavailable {
            provider: NAME,
            reason,
        }),
    }
}

fn broken(doing: &'static str) -> impl FnOnce(Error) -> ProviderError {
    move |error| ProviderError::Unavailable {
        provider: NAME,
        // The variants that quote the request are those of its making: they tell their kind only.
        reason: match &error {
            Error::Io(error) => format!("{doing}: {}", http::innermost(error)),
            Error::Tls(error) => format!("{doing}: {}", http::innermost(error)),
            Error::Capacity(_) => format!("{doing}: a message longer than any of use"),
            Error::Url(_) | Error::HttpFormat(_) => format!("{doing}: its base URL cannot be asked"),
            _ => doing.to_owned(),
        },
    }
}
