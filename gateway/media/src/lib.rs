//! SDP offer and answer, RTP, DTMF, codecs on the SIP leg.
