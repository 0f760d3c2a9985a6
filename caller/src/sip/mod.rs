//! The SIP side of one call, without IO: text in, text and events out, time as an argument.

pub(crate) mod digest;
pub(crate) mod message;
pub(crate) mod requests;
pub(crate) mod uac;
