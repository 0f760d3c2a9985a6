//! A media stream is only its id here: tracks are reached through their transceivers.

#[derive(Clone, Debug)]
pub struct MediaStream(pub(crate) String);

impl MediaStream {
    pub fn id(&self) -> String {
        self.0.clone()
    }
}
