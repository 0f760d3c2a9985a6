//! Statistics. The engine reports none yet, so the enum has no variants.

#[derive(Debug, Clone)]
pub enum RtcStats {}
