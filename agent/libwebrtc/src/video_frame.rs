//! Video frames: the types that the SDK and its tests name.

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "the original's names")]
pub enum VideoRotation {
    VideoRotation0 = 0,
    VideoRotation90 = 90,
    VideoRotation180 = 180,
    VideoRotation270 = 270,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameMetadata {
    pub user_timestamp: Option<u64>,
    pub frame_id: Option<u32>,
    pub user_data: Option<Vec<u8>>,
}

pub trait VideoBuffer {
    fn width(&self) -> u32;
    fn height(&self) -> u32;
}

pub type BoxVideoBuffer = Box<dyn VideoBuffer + Send + Sync>;
pub type BoxVideoFrame = VideoFrame<BoxVideoBuffer>;

#[derive(Debug)]
pub struct VideoFrame<T: AsRef<dyn VideoBuffer>> {
    pub rotation: VideoRotation,
    pub timestamp_us: i64,
    pub frame_metadata: Option<FrameMetadata>,
    pub buffer: T,
}

impl<T: AsRef<dyn VideoBuffer>> VideoFrame<T> {
    pub fn new(rotation: VideoRotation, buffer: T) -> Self {
        Self {
            rotation,
            timestamp_us: 0,
            frame_metadata: None,
            buffer,
        }
    }
}

/// A picture in planes of 8-bit Y, U and V, the latter two at half the width and height.
#[derive(Debug)]
pub struct I420Buffer {
    width: u32,
    height: u32,
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

impl I420Buffer {
    /// A black picture.
    pub fn new(width: u32, height: u32) -> Self {
        let chroma = width.div_ceil(2) as usize * height.div_ceil(2) as usize;
        Self {
            width,
            height,
            y: vec![0; width as usize * height as usize],
            u: vec![128; chroma],
            v: vec![128; chroma],
        }
    }

    pub fn strides(&self) -> (u32, u32, u32) {
        (self.width, self.width.div_ceil(2), self.width.div_ceil(2))
    }

    pub fn data_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        (&mut self.y, &mut self.u, &mut self.v)
    }

    pub fn data(&self) -> (&[u8], &[u8], &[u8]) {
        (&self.y, &self.u, &self.v)
    }
}

impl VideoBuffer for I420Buffer {
    fn width(&self) -> u32 {
        self.width
    }

    fn height(&self) -> u32 {
        self.height
    }
}

impl AsRef<dyn VideoBuffer> for I420Buffer {
    fn as_ref(&self) -> &(dyn VideoBuffer + 'static) {
        self
    }
}

impl AsRef<dyn VideoBuffer> for BoxVideoBuffer {
    fn as_ref(&self) -> &(dyn VideoBuffer + 'static) {
        &**self
    }
}
