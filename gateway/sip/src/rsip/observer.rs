//! Shows each message to the ladder of its call.

use std::sync::Arc;

use rsipstack::sip::{HeadersExt as _, SipMessage};
use rsipstack::transaction::endpoint::MessageInspector;
use rsipstack::transport::SipAddr;
use tokio::time::Instant;

use crate::ladder::Ladders;

pub(super) struct Observer(pub(super) Arc<Ladders>);

impl Observer {
    fn note(&self, message: &SipMessage, sent: bool) {
        let call_id = match message {
            SipMessage::Request(request) => request.call_id_header(),
            SipMessage::Response(response) => response.call_id_header(),
        };
        if let Ok(call_id) = call_id {
            let ladder = self.0.of(call_id.value());
            ladder.note(Instant::now().into_std(), sent, || message.to_string());
        }
    }
}

impl MessageInspector for Observer {
    fn before_send(&self, message: SipMessage, _: Option<&SipAddr>) -> SipMessage {
        self.note(&message, true);
        message
    }

    fn after_received(&self, message: SipMessage, from: Option<&SipAddr>) -> SipMessage {
        // Without an address it is an answer that the stack shows to itself, the second time or made up.
        if from.is_some() {
            self.note(&message, false);
        }
        message
    }
}
