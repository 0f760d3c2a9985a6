//! The voice of a synthetic caller: sentences synthesised by flite.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use audio::Resampler;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long flite may take for a sentence; it takes some 40 ms.
const LIMIT: Duration = Duration::from_secs(10);
/// The rate of [`Sentence::samples`].
pub(crate) const RATE_HZ: u32 = 16_000;

/// Something to say.
pub(crate) struct Sentence {
    pub(crate) text: String,
    /// Mono, at [`RATE_HZ`].
    pub(crate) samples: Vec<i16>,
}

/// Speaks each text into samples, and into a WAV file in `folder`.
pub(crate) async fn synthesise(texts: &[&str], folder: &Path) -> anyhow::Result<Vec<Sentence>> {
    let mut sentences = Vec::new();
    for (text, number) in texts.iter().zip(1..) {
        let path = folder.join(format!("caller-says-{number}.wav"));
        flite(text, &path)
            .await
            .context("flite is missing or fails: run `make setup`")?;
        let file = std::fs::read(&path)?;
        let wav = audio::wav::read(&file).context("reading what flite spoke")?;
        let mut samples = Vec::new();
        Resampler::new(wav.sample_rate_hz, RATE_HZ)?.process(&wav.samples, &mut samples);
        ensure!(!samples.is_empty(), "flite spoke nothing");
        sentences.push(Sentence {
            text: (*text).to_owned(),
            samples,
        });
    }
    Ok(sentences)
}

/// The text goes in by standard input, so that it never stands in a list of processes.
async fn flite(text: &str, path: &Path) -> anyhow::Result<()> {
    let mut child = Command::new("flite")
        .args(["-voice", "slt", "-o"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in a terminal reaches the demo alone.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let Some(mut input) = child.stdin.take() else {
        bail!("no way to hand over the text");
    };
    input.write_all(text.as_bytes()).await?;
    drop(input);
    let status = tokio::time::timeout(LIMIT, child.wait()).await??;
    ensure!(status.success(), "flite ended with {status}");
    Ok(())
}
