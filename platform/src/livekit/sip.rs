use super::{
    LiveKit, LiveKitError, proto,
    rooms::unless_gone,
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

// A create that is done twice leaves two trunks or rules, and then calls match both.
static CREATE_INBOUND_TRUNK: Method = method("CreateSIPInboundTrunk", Repeat::IfUnsent);
static LIST_INBOUND_TRUNKS: Method = method("ListSIPInboundTrunk", Repeat::Safe);
static UPDATE_INBOUND_TRUNK: Method = method("UpdateSIPInboundTrunk", Repeat::Safe);
static DELETE_TRUNK: Method = method("DeleteSIPTrunk", Repeat::Safe);
static CREATE_DISPATCH_RULE: Method = method("CreateSIPDispatchRule", Repeat::IfUnsent);
static LIST_DISPATCH_RULES: Method = method("ListSIPDispatchRule", Repeat::Safe);
static UPDATE_DISPATCH_RULE: Method = method("UpdateSIPDispatchRule", Repeat::Safe);
static DELETE_DISPATCH_RULE: Method = method("DeleteSIPDispatchRule", Repeat::Safe);

impl LiveKit {
    /// Makes an inbound trunk. It needs numbers, addresses or a password; without any of them LiveKit refuses it.
    ///
    /// Never repeated once it may have been done: after [`LiveKitError::Interrupted`] or [`LiveKitError::Deadline`], list first.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn create_sip_inbound_trunk(
        &self,
        trunk: proto::SipInboundTrunkInfo,
    ) -> Result<proto::SipInboundTrunkInfo, LiveKitError> {
        let request = proto::CreateSipInboundTrunkRequest { trunk: Some(trunk) };
        self.call(&CREATE_INBOUND_TRUNK, &Grant::SipAdmin, &request).await
    }

    /// All inbound trunks.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn list_sip_inbound_trunks(&self) -> Result<Vec<proto::SipInboundTrunkInfo>, LiveKitError> {
        let request = proto::ListSipInboundTrunkRequest::default();
        let found: proto::ListSipInboundTrunkResponse = self
            .call(&LIST_INBOUND_TRUNKS, &Grant::SipAdmin, &request)
            .await?;
        Ok(found.items)
    }

    /// Replaces the inbound trunk of that id as a whole: what `trunk` leaves empty is empty then.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn replace_sip_inbound_trunk(
        &self,
        trunk_id: &str,
        trunk: proto::SipInboundTrunkInfo,
    ) -> Result<proto::SipInboundTrunkInfo, LiveKitError> {
        use proto::update_sip_inbound_trunk_request::Action;
        let request = proto::UpdateSipInboundTrunkRequest {
            sip_trunk_id: trunk_id.to_owned(),
            action: Some(Action::Replace(trunk)),
        };
        self.call(&UPDATE_INBOUND_TRUNK, &Grant::SipAdmin, &request).await
    }

    /// Removes a trunk, inbound or outbound. One that is gone is no error.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn delete_sip_trunk(&self, trunk_id: &str) -> Result<(), LiveKitError> {
        let request = proto::DeleteSipTrunkRequest {
            sip_trunk_id: trunk_id.to_owned(),
        };
        let done: Result<proto::SipTrunkInfo, _> = self.call(&DELETE_TRUNK, &Grant::SipAdmin, &request).await;
        unless_gone(done)
    }

    /// Makes a dispatch rule. One without `trunk_ids` takes calls from anywhere, with no trunk and no password.
    ///
    /// Never repeated once it may have been done: after [`LiveKitError::Interrupted`] or [`LiveKitError::Deadline`], list first.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn create_sip_dispatch_rule(
        &self,
        rule: proto::SipDispatchRuleInfo,
    ) -> Result<proto::SipDispatchRuleInfo, LiveKitError> {
        let request = proto::CreateSipDispatchRuleRequest {
            dispatch_rule: Some(rule),
            ..Default::default()
        };
        self.call(&CREATE_DISPATCH_RULE, &Grant::SipAdmin, &request).await
    }

    /// All dispatch rules.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn list_sip_dispatch_rules(&self) -> Result<Vec<proto::SipDispatchRuleInfo>, LiveKitError> {
        let request = proto::ListSipDispatchRuleRequest::default();
        let found: proto::ListSipDispatchRuleResponse = self
            .call(&LIST_DISPATCH_RULES, &Grant::SipAdmin, &request)
            .await?;
        Ok(found.items)
    }

    /// Replaces the dispatch rule of that id as a whole: what `rule` leaves empty is empty then.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn replace_sip_dispatch_rule(
        &self,
        rule_id: &str,
        rule: proto::SipDispatchRuleInfo,
    ) -> Result<proto::SipDispatchRuleInfo, LiveKitError> {
        use proto::update_sip_dispatch_rule_request::Action;
        let request = proto::UpdateSipDispatchRuleRequest {
            sip_dispatch_rule_id: rule_id.to_owned(),
            action: Some(Action::Replace(rule)),
        };
        self.call(&UPDATE_DISPATCH_RULE, &Grant::SipAdmin, &request).await
    }

    /// Removes a dispatch rule. One that is gone is no error.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn delete_sip_dispatch_rule(&self, rule_id: &str) -> Result<(), LiveKitError> {
        let request = proto::DeleteSipDispatchRuleRequest {
            sip_dispatch_rule_id: rule_id.to_owned(),
        };
        let done: Result<proto::SipDispatchRuleInfo, _> =
            self.call(&DELETE_DISPATCH_RULE, &Grant::SipAdmin, &request).await;
        unless_gone(done)
    }
}
