//! Where the programs are found and where their files go.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{StackError, livekit, redis};

const INSTALL_REDIS: &str = "run `make setup` in the repository, or install the Debian package redis-server";
const INSTALL_LIVEKIT: &str = "run `make setup` in the repository, or `go install \
    github.com/livekit/livekit-server/cmd/server@v1.13.5` and rename the `server` that it makes to livekit-server";
/// Where `make setup` installs programs, in the repository.
const CACHE: &str = ".cache/bin";

/// What `make setup` put into `.cache`, above the current folder or the running program.
pub(crate) fn cached(path: &str) -> Option<PathBuf> {
    let places = Places::of_this_process();
    let path = Path::new(".cache").join(path);
    places
        .above()
        .map(|folder| folder.join(&path))
        .find(|path| path.is_file())
}

/// The programs' paths.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) redis: PathBuf,
    pub(crate) livekit: PathBuf,
}

impl Programs {
    pub(crate) fn find(livekit: Option<&Path>) -> Result<Self, StackError> {
        let places = Places::of_this_process();
        let missing = |program, looked, remedy| StackError::Missing {
            program,
            looked,
            remedy,
        };
        let redis = places
            .on_path(redis::NAME)
            .ok_or_else(|| missing(redis::NAME, "not on the PATH".to_owned(), INSTALL_REDIS))?;
        let livekit = match livekit {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => {
                let looked = format!("there is no file {}", path.display());
                return Err(missing(livekit::NAME, looked, INSTALL_LIVEKIT));
            }
            None => places
                .livekit()
                .ok_or_else(|| missing(livekit::NAME, places.looked_for_livekit(), INSTALL_LIVEKIT))?,
        };
        Ok(Self { redis, livekit })
    }
}

/// Where programs may lie.
#[derive(Debug, Default)]
struct Places {
    /// The folder of the running program.
    program: Option<PathBuf>,
    /// The current folder.
    here: Option<PathBuf>,
    path: OsString,
}

impl Places {
    fn of_this_process() -> Self {
        let program = std::env::current_exe().ok();
        Self {
            program: program.and_then(|program| program.parent().map(Path::to_owned)),
            here: std::env::current_dir().ok(),
            path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// Beside the running program, then where `make setup` puts it, then on the `PATH`.
    fn livekit(&self) -> Option<PathBuf> {
        let beside = self.program.iter().map(|folder| folder.join(livekit::NAME));
        let cached = self.above().map(|folder| folder.join(CACHE).join(livekit::NAME));
        beside
            .chain(cached)
            .find(|path| path.is_file())
            .or_else(|| self.on_path(livekit::NAME))
    }

    /// The current folder, those above it, then the same of the running program.
    fn above(&self) -> impl Iterator<Item = &Path> {
        let from = [&self.here, &self.program].into_iter().flatten();
        from.flat_map(|folder| folder.ancestors())
    }

    fn looked_for_livekit(&self) -> String {
        let name =
            |folder: &Option<PathBuf>| folder.as_deref().unwrap_or(Path::new("?")).display().to_string();
        let (program, here) = (name(&self.program), name(&self.here));
        format!(
            "not in {program}, not in {CACHE} of {here}, {program} or any folder above them, not on the PATH"
        )
    }

    fn on_path(&self, program: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path)
            // Debian keeps some servers outside a plain user's PATH.
            .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/bin")])
            .map(|folder| folder.join(program))
            .find(|candidate| candidate.is_file())
    }
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

/// Writes a file that holds a secret: for its owner alone.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), StackError> {
    let write = || {
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?
            .write_all(text.as_bytes())
    };
    write().map_err(|source| StackError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn livekit_server_is_found_beside_the_program_then_above_here_then_above_the_program_then_on_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let folder = folder.path().join(path);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        let places = Places {
            program: Some(at("build/target/debug")),
            here: Some(at("work/deep/below")),
            path: at("path").into_os_string(),
        };
        let found = [
            at("build/target/debug"),
            at("work/.cache/bin"),
            at("build/.cache/bin"),
            at("path"),
        ]
        .map(|folder| folder.join(livekit::NAME));
        for file in &found {
            std::fs::write(file, "").unwrap();
        }
        for file in found {
            assert_eq!(places.livekit().as_ref(), Some(&file));
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn the_report_says_where_it_was_looked_for() {
        let places = Places {
            program: Some("/opt/trunkline".into()),
            here: Some("/home/me".into()),
            ..Places::default()
        };
        assert_eq!(
            places.looked_for_livekit(),
            "not in /opt/trunkline, not in .cache/bin of /home/me, /opt/trunkline or any folder above them, not on the PATH"
        );
    }

    #[test]
    fn the_remedy_names_the_version_that_make_setup_installs() {
        let setup = include_str!("../../../scripts/setup");
        let version = setup
            .lines()
            .find_map(|line| line.strip_prefix("livekit_version="));
        assert!(INSTALL_LIVEKIT.contains(&format!("@v{}`", version.unwrap())));
    }
}
