//! What the fuzzers were given and what they found, replayed, and a little fuzzing without them. `make fuzz` has the fuzzers themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

#[path = "../../../fuzz/targets.rs"]
mod targets;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("sip", targets::sip),
    ("sdp", targets::sdp),
    ("psrpc", targets::psrpc),
    ("rtp", targets::rtp),
];
/// How long each target is fed mutations here.
const FED: Duration = Duration::from_millis(1_500);

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.expect("listed").path()).collect();
    files.sort();
    let read = |file: PathBuf| (file.clone(), std::fs::read(&file).expect("read"));
    files.into_iter().map(read).collect()
}

#[test]
fn the_corpus_does_no_harm() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        println!("{name}: {} inputs", corpus.len());
        assert!(corpus.len() >= 5, "the corpus of {name} is not there");
        for (file, bytes) in corpus {
            println!("{}", file.display());
            target(&bytes);
        }
    }
}

/// Parts of two inputs put together, bytes changed, numbers made large.
fn mutated(corpus: &[(PathBuf, Vec<u8>)], random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let (one, other) = (&corpus[random(corpus.len())].1, &corpus[random(corpus.len())].1);
    let mut bytes = one.clone();
    if random(3) == 0 && !other.is_empty() {
        bytes.truncate(random(one.len() + 1));
        bytes.extend_from_slice(&other[random(other.len())..]);
    }
    for _ in 0..random(8) {
        if bytes.is_empty() {
            break;
        }
        let at = random(bytes.len());
        match random(5) {
            0 => bytes[at] = u8::try_from(random(256)).expect("a byte"),
            1 => bytes[at] ^= 1 << random(8),
            2 => drop(bytes.drain(at..(at + random(20)).min(bytes.len()))),
            3 => drop(bytes.splice(at..at, *b"4294967296")),
            _ => bytes.insert(at, [0, 0xFF, 0x80, 0x7F, b'\r', b'\n', b';', b','][random(8)]),
        }
    }
    bytes
}

#[test]
fn mutations_of_the_corpus_do_no_harm() {
    let mut state = 0x5eed_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below
    };
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        let (end, mut fed) = (Instant::now() + FED, 0_u32);
        while Instant::now() < end {
            let input = mutated(&corpus, &mut random);
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{name}: {:?}", String::from_utf8_lossy(&input));
            fed += 1;
        }
        println!("{name}: {fed} mutations");
        assert!(fed > 100, "{name}: {fed}");
    }
}
