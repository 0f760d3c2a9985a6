//! Data channels: what goes out, and the bookkeeping of what has.

use std::sync::Arc;

use str0m::channel::{ChannelConfig, ChannelId, Reliability};

use super::Driver;
use crate::engine::channel::{Channel, Written};

/// The open or opening ones.
#[derive(Default)]
pub(super) struct Channels(Vec<Entry>);

struct Entry {
    id: ChannelId,
    channel: Arc<Channel>,
    closing: bool,
}

impl Channels {
    pub(super) fn find(&self, id: ChannelId) -> Option<&Arc<Channel>> {
        self.0
            .iter()
            .find(|entry| entry.id == id)
            .map(|entry| &entry.channel)
    }

    pub(super) fn add(&mut self, id: ChannelId, channel: Arc<Channel>) {
        self.0.push(Entry {
            id,
            channel,
            closing: false,
        });
    }

    pub(super) fn remove(&mut self, id: ChannelId) -> Option<Arc<Channel>> {
        let index = self.0.iter().position(|entry| entry.id == id)?;
        Some(self.0.swap_remove(index).channel)
    }
}

impl Driver {
    pub(super) fn open_channel(&mut self, channel: Arc<Channel>) {
        let config = ChannelConfig {
            label: channel.label.clone(),
            ordered: channel.init.ordered,
            reliability: reliability(&channel),
            negotiated: channel.init.negotiated.then_some(channel.init.id as u16),
            protocol: channel.init.protocol.clone(),
        };
        let id = self.rtc.direct_api().create_data_channel(config);
        self.channels.add(id, channel);
    }

    /// Hands over what SCTP takes, each channel by itself, so that a full one does not hold up another. Returns whether there is new
    /// output to be polled.
    pub(super) fn flush_channels(&mut self) -> bool {
        let rtc = &mut self.rtc;
        let mut taken = false;
        for Entry { id, channel, closing } in &mut self.channels.0 {
            taken |= channel.flush(|binary, data| match rtc.channel(*id) {
                Some(mut open) => match open.write(binary, data) {
                    Ok(true) => Written::Accepted,
                    Ok(false) => Written::Refused,
                    Err(_) => Written::Failed,
                },
                None => Written::Refused,
            });
            if channel.close_requested() && !*closing {
                *closing = true;
                taken = true;
                rtc.direct_api().close_data_channel(*id);
            }
            if channel.buffered() > 0 {
                let in_sctp = rtc.channel(*id).map_or(0, |mut open| open.buffered_amount());
                channel.report_buffered(in_sctp as u64);
            }
        }
        taken
    }
}

/// RFC 8832 §5.1; out of range values count as the nearest.
fn reliability(channel: &Channel) -> Reliability {
    let clamped = |value: i32| value.clamp(0, i32::from(u16::MAX)) as u16;
    match (channel.init.max_retransmits, channel.init.max_retransmit_time) {
        (Some(retransmits), _) => Reliability::MaxRetransmits {
            retransmits: clamped(retransmits),
        },
        (None, Some(lifetime)) => Reliability::MaxPacketLifetime {
            lifetime: clamped(lifetime),
        },
        (None, None) => Reliability::Reliable,
    }
}
