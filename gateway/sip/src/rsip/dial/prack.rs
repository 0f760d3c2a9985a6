//! The acknowledgement of a provisional answer (RFC 3262 §4).

use rsipstack::sip::headers::typed::CSeq;
use rsipstack::sip::{Header, HeadersExt as _, Method, Request, Response, ToTypedHeader as _, Version};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use tokio_util::task::TaskTracker;

use super::super::flows::Line;
use super::super::requests;
use super::established::route_set;

/// What a PRACK is made of.
pub(super) struct Prack {
    pub(super) endpoint: EndpointInnerRef,
    pub(super) invite: Request,
    pub(super) line: Line,
    /// Its number.
    pub(super) cseq: u32,
    pub(super) tasks: TaskTracker,
}

impl Prack {
    /// Sends it within the early dialog that `response` made.
    pub(super) async fn send(&self, response: &Response, rseq: u32) -> Option<Response> {
        let target = response.typed_contact_headers().ok();
        let target = target.and_then(|contacts| contacts.first().map(|contact| contact.uri.clone()));
        let target = target.unwrap_or_else(|| self.invite.uri.clone());
        let routes = route_set(response);
        let first = routes.first().and_then(|route| route.typed().ok());
        let path = self
            .line
            .path(&first.map_or_else(|| target.clone(), |route| route.uri))
            .await?;
        let here = self.line.flows().here(&self.endpoint, &path);
        let invite = self.invite.cseq_header().ok()?.seq().ok()?;
        let cseq = CSeq {
            seq: self.cseq,
            method: Method::PRack,
        };
        let mut headers = vec![
            Header::Via(self.endpoint.get_via(here, None).ok()?.into()),
            Header::MaxForwards(70.into()),
            Header::From(self.invite.from_header().ok()?.clone()),
            Header::To(response.to_header().ok()?.clone()),
            Header::CallId(self.invite.call_id_header().ok()?.clone()),
            Header::CSeq(cseq.into()),
            Header::RAck(format!("{rseq} {invite} INVITE").into()),
            Header::UserAgent(self.endpoint.user_agent.clone().into()),
        ];
        headers.extend(self.invite.contact_header().ok().cloned().map(Header::Contact));
        headers.extend(routes.into_iter().map(Header::Route));
        headers.push(Header::ContentLength(0_u32.into()));
        let request = Request {
            method: Method::PRack,
            uri: target,
            headers: headers.into(),
            body: Vec::new(),
            version: Version::V2,
        };
        requests::send(&self.endpoint, request, &path, &self.tasks).await
    }
}
