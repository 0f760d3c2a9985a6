//! The SipStack trait, its rsipstack adapter, and admission in front of it.
