//! The samples and sentences of one utterance, and how far they have got.

use std::collections::VecDeque;

use super::Piece;
use crate::text::{Sentence, heard_words};

/// Samples that were written stay so long, in case they are taken back.
const KEEP_MS: usize = 500;

/// One utterance. Positions count samples from its first.
pub(super) struct Buffer {
    samples: VecDeque<i16>,
    /// The position of the first sample still kept.
    base: usize,
    /// The position of the next sample to be written.
    next: usize,
    sentences: Vec<Sentence>,
    complete: bool,
    sample_rate_hz: u32,
}

impl Buffer {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        let (samples, sentences) = (VecDeque::new(), Vec::new());
        Self {
            samples,
            base: 0,
            next: 0,
            sentences,
            complete: false,
            sample_rate_hz,
        }
    }

    /// Takes a piece; none: that was all.
    pub(super) fn push(&mut self, piece: Option<Piece>) {
        let end = self.end();
        match piece {
            Some(Piece::Sentence(text)) => {
                self.break_off();
                self.sentences.push(Sentence {
                    text,
                    start: end,
                    end: None,
                    broken_off: false,
                });
            }
            Some(Piece::Samples(samples)) => self.samples.extend(samples),
            Some(Piece::SentenceEnd) => {
                if let Some(sentence) = self.sentences.last_mut() {
                    sentence.end = Some(end);
                }
            }
            None => {
                self.break_off();
                self.complete = true;
            }
        }
    }

    /// What has not been told to be complete never will be.
    fn break_off(&mut self) {
        let end = self.end();
        if let Some(sentence) = self
            .sentences
            .last_mut()
            .filter(|sentence| sentence.end.is_none())
        {
            sentence.end = Some(end);
            sentence.broken_off = true;
        }
    }

    /// The position after the last sample so far.
    fn end(&self) -> usize {
        self.base + self.samples.len()
    }

    /// Samples that wait to be written.
    pub(super) fn ahead(&self) -> usize {
        self.end() - self.next
    }

    /// Whether nothing more comes.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The position of the next sample to be written.
    pub(super) fn position(&self) -> usize {
        self.next
    }

    /// Fills `frame` with the next samples, and with silence where there are none; returns how many there were.
    pub(super) fn take(&mut self, frame: &mut [i16]) -> usize {
        let from = self.next - self.base;
        let taken = self.ahead().min(frame.len());
        for (target, sample) in frame.iter_mut().zip(self.samples.range(from..from + taken)) {
            *target = *sample;
        }
        frame.iter_mut().skip(taken).for_each(|sample| *sample = 0);
        self.next += taken;
        let keep = KEEP_MS * usize::try_from(self.sample_rate_hz / 1000).unwrap_or(1);
        let excess = (self.next - self.base).saturating_sub(keep);
        self.samples.drain(..excess);
        self.base += excess;
        taken
    }

    /// Goes back to `position`, which was written and not heard.
    pub(super) fn rewind(&mut self, position: usize) {
        self.next = position.clamp(self.base, self.next);
    }

    /// Whether there is all of the utterance and none of its sentences broke off.
    pub(super) fn is_whole(&self) -> bool {
        self.complete && !self.sentences.is_empty() && self.sentences.iter().all(|it| !it.broken_off)
    }

    /// The words that were heard when `heard` samples had been.
    pub(super) fn words(&self, heard: usize) -> String {
        heard_words(&self.sentences, heard, self.end(), self.sample_rate_hz)
    }
}
