use super::{
    LiveKit, LiveKitError, proto,
    token::Grant,
    twirp::{Method, Repeat},
};

const fn method(name: &'static str, repeat: Repeat) -> Method {
    Method {
        service: "SIP",
        name,
        repeat,
    }
}

static CREATE_OUTBOUND_TRUNK: Method = method("CreateSIPOutboundTrunk", Repeat::IfUnsent);
static LIST_OUTBOUND_TRUNKS: Method = method("ListSIPOutboundTrunk", Repeat::Safe);
static UPDATE_OUTBOUND_TRUNK: Method = method("UpdateSIPOutboundTrunk", Repeat::Safe);
// Done twice, the phone rings twice.
static CREATE_PARTICIPANT: Method = method("CreateSIPParticipant", Repeat::IfUnsent);
static TRANSFER_PARTICIPANT: Method = method("TransferSIPParticipant", Repeat::IfUnsent);

/// Why a dialled phone did not take the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneOutcome {
    /// The line was busy (SIP 486, 600).
    Busy,
    /// The other side did not want it (603, 403).
    Declined,
    /// It rang, or could not be reached for the time being (480, 408, 487, or the ringing timeout).
    NoAnswer,
    /// There is no such number or address (404, 484, 604, 410, 400, 301, 302).
    Invalid,
    /// The trunk did not do it (everything else).
    TrunkFailure,
}

impl PhoneOutcome {
    /// Reads LiveKit's error, and the SIP status in it: `None` when it says nothing about the phone.
    pub fn of(error: &LiveKitError) -> Option<(Self, Option<u16>)> {
        match error {
            LiveKitError::Sip { status, .. } => Some((Self::of_status(*status), Some(*status))),
            // The gateway's own end of ringing has no SIP status.
            LiveKitError::Refused { code, .. } if code == "canceled" => Some((Self::NoAnswer, None)),
            LiveKitError::Refused { code, .. } if code == "failed_precondition" => {
                Some((Self::TrunkFailure, None))
            }
            _ => None,
        }
    }

    fn of_status(status: u16) -> Self {
        match status {
            486 | 600 => Self::Busy,
            403 | 603 => Self::Declined,
            408 | 480 | 487 => Self::NoAnswer,
            301 | 302 | 400 | 404 | 410 | 484 | 604 => Self::Invalid,
            _ => Self::TrunkFailure,
        }
    }
}

impl LiveKit {
    /// Makes an outbound trunk.
    ///
    /// Never repeated once it may have been done: after [`LiveKitError::Interrupted`] or [`LiveKitError::Deadline`], list first.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn create_sip_outbound_trunk(
        &self,
        trunk: proto::SipOutboundTrunkInfo,
    ) -> Result<proto::SipOutboundTrunkInfo, LiveKitError> {
        let request = proto::CreateSipOutboundTrunkRequest { trunk: Some(trunk) };
        self.call(&CREATE_OUTBOUND_TRUNK, &Grant::SipAdmin, &request)
            .await
    }

    /// All outbound trunks.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn list_sip_outbound_trunks(&self) -> Result<Vec<proto::SipOutboundTrunkInfo>, LiveKitError> {
        let request = proto::ListSipOutboundTrunkRequest::default();
        let found: proto::ListSipOutboundTrunkResponse = self
            .call(&LIST_OUTBOUND_TRUNKS, &Grant::SipAdmin, &request)
            .await?;
        Ok(found.items)
    }

    /// Replaces the outbound trunk of that id as a whole: what `trunk` leaves empty is empty then.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn replace_sip_outbound_trunk(
        &self,
        trunk_id: &str,
        trunk: proto::SipOutboundTrunkInfo,
    ) -> Result<proto::SipOutboundTrunkInfo, LiveKitError> {
        use proto::update_sip_outbound_trunk_request::Action;
        let request = proto::UpdateSipOutboundTrunkRequest {
            sip_trunk_id: trunk_id.to_owned(),
            action: Some(Action::Replace(trunk)),
        };
        self.call(&UPDATE_OUTBOUND_TRUNK, &Grant::SipAdmin, &request)
            .await
    }

    /// Calls a phone into a room. Returns when the phone is being dialled, or, with `wait_until_answered`, when it has been answered:
    /// LiveKit gives that 80 s, and 30 s otherwise, so use [`LiveKit::within`] a longer deadline.
    ///
    /// Never repeated once it may have been sent.
    ///
    /// # Errors
    /// [`LiveKitError::Sip`] when the phone was busy, declined or could not be reached; otherwise as [`LiveKitError`] says.
    pub async fn create_sip_participant(
        &self,
        request: &proto::CreateSipParticipantRequest,
    ) -> Result<proto::SipParticipantInfo, LiveKitError> {
        self.call(&CREATE_PARTICIPANT, &Grant::SipCall, request).await
    }

    /// Sends a phone that is in a room elsewhere (SIP REFER) and waits for what comes of it: LiveKit gives that the request's
    /// `ringing_timeout`, 30 s by default.
    ///
    /// Never repeated once it may have been sent.
    ///
    /// # Errors
    /// [`LiveKitError::Sip`] when the phone or the target refused, and then the call goes on; otherwise as [`LiveKitError`] says.
    pub async fn transfer_sip_participant(
        &self,
        request: &proto::TransferSipParticipantRequest,
    ) -> Result<(), LiveKitError> {
        // Older servers answer with an empty message, newer ones with the transfer's state: neither says more than success.
        let _: proto::TransferSipParticipantResponse = self
            .call(
                &TRANSFER_PARTICIPANT,
                &Grant::SipTransfer(&request.room_name),
                request,
            )
            .await?;
        Ok(())
    }
}
