use super::{
    LiveKit, LiveKitError, proto,
    rooms::if_there,
    token::Grant,
    twirp::{Method, Repeat},
};

const fn method(name: &'static str, repeat: Repeat) -> Method {
    Method {
        service: "Ingress",
        name,
        repeat,
    }
}

static CREATE: Method = method("CreateIngress", Repeat::IfUnsent);
static UPDATE: Method = method("UpdateIngress", Repeat::IfUnsent);
static LIST: Method = method("ListIngress", Repeat::Safe);
static DELETE: Method = method("DeleteIngress", Repeat::Safe);

impl LiveKit {
    /// Makes an ingress. A source that cannot be read shows in its state later, not here.
    ///
    /// Never repeated once it may have been sent.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn create_ingress(
        &self,
        request: &proto::CreateIngressRequest,
    ) -> Result<proto::IngressInfo, LiveKitError> {
        self.call(&CREATE, &Grant::IngressAdmin, request).await
    }

    /// Changes an ingress. Even a new name cuts a session that is live.
    ///
    /// # Errors
    /// [`LiveKitError::NotFound`] when it is not known; otherwise as [`LiveKitError`] says.
    pub async fn update_ingress(
        &self,
        request: &proto::UpdateIngressRequest,
    ) -> Result<proto::IngressInfo, LiveKitError> {
        self.call(&UPDATE, &Grant::IngressAdmin, request).await
    }

    /// The ingresses of a room, one by its id, or all; an id that is not known is no ingress.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn list_ingress(
        &self,
        request: &proto::ListIngressRequest,
    ) -> Result<Vec<proto::IngressInfo>, LiveKitError> {
        let found: Result<proto::ListIngressResponse, _> =
            self.call(&LIST, &Grant::IngressAdmin, request).await;
        Ok(if_there(found)?.map(|found| found.items).unwrap_or_default())
    }

    /// Removes an ingress and ends what it sends. One that is gone is no error.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn delete_ingress(&self, ingress_id: &str) -> Result<(), LiveKitError> {
        let request = proto::DeleteIngressRequest {
            ingress_id: ingress_id.to_owned(),
        };
        let done: Result<proto::IngressInfo, _> = self.call(&DELETE, &Grant::IngressAdmin, &request).await;
        super::rooms::unless_gone(done)
    }
}
