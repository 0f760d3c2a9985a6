//! Where the programs are found and where their files go.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{StackError, livekit, redis};

/// The programs' paths.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) redis: PathBuf,
    pub(crate) livekit: PathBuf,
}

impl Programs {
    pub(crate) fn find(livekit: Option<&Path>) -> Result<Self, StackError> {
        Ok(Self {
            redis: on_path(redis::NAME)?,
            livekit: find_livekit(livekit)?,
        })
    }
}

fn find_livekit(explicit: Option<&Path>) -> Result<PathBuf, StackError> {
    if let Some(path) = explicit {
        let missing = || StackError::Missing {
            program: livekit::NAME,
            looked: path.display().to_string(),
        };
        return path.is_file().then(|| path.to_owned()).ok_or_else(missing);
    }
    cached(&format!("bin/{}", livekit::NAME)).map_or_else(|| on_path(livekit::NAME), Ok)
}

/// What `make setup` put into `.cache` of this folder or of one above it.
pub(crate) fn cached(path: &str) -> Option<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors()
        .map(|folder| folder.join(".cache").join(path))
        .find(|path| path.is_file())
}

fn on_path(program: &'static str) -> Result<PathBuf, StackError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps some servers outside a plain user's PATH.
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/bin")])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| StackError::Missing {
            program,
            looked: "searched the PATH".to_owned(),
        })
}

/// The stack's folder: given, or temporary.
#[derive(Debug)]
pub(crate) enum StackDir {
    Given(PathBuf),
    Temporary(TempDir),
}

impl StackDir {
    pub(crate) fn new(given: Option<&Path>) -> Result<Self, StackError> {
        let write = |path: &Path, source| StackError::Write {
            path: path.to_owned(),
            source,
        };
        let Some(path) = given else {
            let dir = tempfile::Builder::new()
                .prefix("trunkline-stack-")
                .tempdir()
                .map_err(|source| write(&std::env::temp_dir(), source))?;
            return Ok(Self::Temporary(dir));
        };
        std::fs::create_dir_all(path).map_err(|source| write(path, source))?;
        Ok(Self::Given(path.to_owned()))
    }

    /// Keeps a temporary folder on disk, for an error that names a log in it.
    pub(crate) fn keep(self) {
        if let Self::Temporary(dir) = self {
            let _ = dir.keep();
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}
