//! A synthetic SIP caller: speaks, listens, measures.
