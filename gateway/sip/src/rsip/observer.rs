//! Shows each message to the ladder of its call, and tells who asks where its request came from.

use std::sync::Arc;

use rsipstack::sip::param::Received;
use rsipstack::sip::prelude::ToTypedHeader as _;
use rsipstack::sip::{HeadersExt as _, Param, Request, SipMessage};
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
        let Some(from) = from else { return message };
        self.note(&message, false);
        match message {
            SipMessage::Request(mut request) => {
                tell_address(&mut request, from);
                SipMessage::Request(request)
            }
            SipMessage::Response(_) => message,
        }
    }
}

/// RFC 3581 §4: who asks for its port is told its address too, also where Via has it already. The stack leaves it out there.
fn tell_address(request: &mut Request, from: &SipAddr) {
    let (Ok(via), Ok(source)) = (request.via_header_mut(), from.get_socketaddr()) else {
        return;
    };
    // A Via that cannot be read stays as it is.
    let _ = via.update_first_value(|via| {
        let mut typed = via.typed()?;
        let asks = typed.params.iter().any(|param| matches!(param, Param::Rport(_)));
        let is_told = typed
            .params
            .iter()
            .any(|param| matches!(param, Param::Received(_)));
        if !asks || is_told {
            return Ok(via);
        }
        typed
            .params
            .push(Param::Received(Received::new(source.ip().to_string())));
        Ok(typed.into())
    });
}
