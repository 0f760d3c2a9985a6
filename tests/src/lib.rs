//! System tests: the real servers, spoken to over SIP, WebRTC and HTTP.
