//! Tracks, and the devices of the platform, of which there are none.

use crate::{
    audio_source::native::NativeAudioSource, audio_track::RtcAudioTrack, engine::track::Track,
    peer_connection_factory::PeerConnectionFactory, video_source::native::NativeVideoSource,
    video_track::RtcVideoTrack,
};

/// Declares the trait, and implements for the factory what is the same for every device question: there is no device.
macro_rules! factory_ext {
    (
        tracks { $(fn $track:ident(&self, $($arg:ident: $ty:ty),*) -> $ret:ty $body:block)* }
        devices { $(fn $device:ident(&self $(, $darg:ident: $dty:ty)*) $(-> $dret:ty)?;)* }
    ) => {
        pub trait PeerConnectionFactoryExt {
            $(fn $track(&self, $($arg: $ty),*) -> $ret;)*
            $(fn $device(&self $(, $darg: $dty)*) $(-> $dret)?;)*
        }

        impl PeerConnectionFactoryExt for PeerConnectionFactory {
            $(fn $track(&self, $($arg: $ty),*) -> $ret $body)*
            $(fn $device(&self $(, $darg: $dty)*) $(-> $dret)? {
                $(let _ = $darg;)*
                Default::default()
            })*
        }
    };
}

factory_ext! {
    tracks {
        fn create_video_track(&self, label: &str, _source: NativeVideoSource) -> RtcVideoTrack {
            RtcVideoTrack(Track::local(label, None))
        }
        fn create_audio_track(&self, label: &str, source: NativeAudioSource) -> RtcAudioTrack {
            RtcAudioTrack(Track::local(label, Some(source.0)))
        }
        fn create_device_audio_track(&self, label: &str) -> RtcAudioTrack {
            RtcAudioTrack(Track::local(label, None))
        }
    }
    devices {
        fn playout_devices(&self) -> i16;
        fn recording_devices(&self) -> i16;
        fn playout_device_name(&self, index: u16) -> String;
        fn recording_device_name(&self, index: u16) -> String;
        fn playout_device_guid(&self, index: u16) -> String;
        fn recording_device_guid(&self, index: u16) -> String;
        fn set_playout_device(&self, index: u16) -> bool;
        fn set_recording_device(&self, index: u16) -> bool;
        fn set_playout_device_by_guid(&self, guid: &str) -> bool;
        fn set_recording_device_by_guid(&self, guid: &str) -> bool;
        fn stop_recording(&self) -> bool;
        fn init_recording(&self) -> bool;
        fn start_recording(&self) -> bool;
        fn recording_is_initialized(&self) -> bool;
        fn stop_playout(&self) -> bool;
        fn init_playout(&self) -> bool;
        fn start_playout(&self) -> bool;
        fn playout_is_initialized(&self) -> bool;
        fn builtin_aec_is_available(&self) -> bool;
        fn builtin_agc_is_available(&self) -> bool;
        fn builtin_ns_is_available(&self) -> bool;
        fn enable_builtin_aec(&self, enable: bool) -> bool;
        fn enable_builtin_agc(&self, enable: bool) -> bool;
        fn enable_builtin_ns(&self, enable: bool) -> bool;
        fn set_adm_recording_enabled(&self, enabled: bool);
        fn adm_recording_enabled(&self) -> bool;
        fn set_adm_playout_enabled(&self, enabled: bool);
        fn adm_playout_enabled(&self) -> bool;
        fn acquire_platform_adm(&self) -> bool;
        fn release_platform_adm(&self);
        fn platform_adm_ref_count(&self) -> i32;
        fn is_platform_adm_active(&self) -> bool;
    }
}
