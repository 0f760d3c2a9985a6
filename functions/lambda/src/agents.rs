//! The entries of `agents:` with the hashes of their profiles.

use std::{fs::File, io::Read as _, path::Path};

use events::{ProfileHash, agents::Agents};
use platform::config::{Config, Fault, Place};

/// The longest profile that is read, in bytes.
const MAX_PROFILE_BYTES: u64 = 1024 * 1024;

/// Hashes every profile that an entry names.
pub(crate) fn load(config: &Config) -> Result<Agents, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut entries = Vec::new();
    for (at, rule) in config.agents.iter().enumerate() {
        let path = config.profiles.join(format!("{}.yaml", rule.profile.as_str()));
        match hash(&path) {
            Ok(hash) => entries.push((rule.clone(), hash)),
            Err(error) => faults.push(Fault {
                key: format!("agents[{at}].profile"),
                place: Place::Nowhere,
                problem: format!("{} cannot be read: {error}", path.display()),
                remedy: "put the profiles into the function's package (--include profiles)".to_owned(),
            }),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Agents::new(entries).map_err(|overlaps| {
        vec![Fault {
            key: "agents".to_owned(),
            place: Place::Nowhere,
            problem: format!("{} entries overlap", overlaps.len()),
            remedy: "let each call fit one entry".to_owned(),
        }]
    })
}

fn hash(path: &Path) -> std::io::Result<ProfileHash> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_PROFILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_PROFILE_BYTES {
        return Err(std::io::Error::other("it has more than a mebibyte"));
    }
    Ok(ProfileHash::of(&bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use platform::config::{self, WithoutGateway};

    use super::*;

    fn configured(folder: &Path) -> Config {
        let text = format!(
            "livekit: {{api_key: key, api_secret: {}}}\nagents: [{{profile: reception}}]\n",
            "s".repeat(40)
        );
        config::parse(&text, None, folder, &WithoutGateway(BTreeMap::new())).unwrap()
    }

    #[test]
    fn an_entry_has_the_hash_of_its_profiles_bytes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("profiles")).unwrap();
        std::fs::write(folder.path().join("profiles/reception.yaml"), "x").unwrap();
        assert!(load(&configured(folder.path())).is_ok());
        assert_eq!(
            hash(&folder.path().join("profiles/reception.yaml")).unwrap(),
            ProfileHash::of(b"x")
        );
    }

    #[test]
    fn a_profile_that_is_gone_since_the_configuration_was_read_is_a_fault_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("profiles/reception.yaml");
        std::fs::create_dir(folder.path().join("profiles")).unwrap();
        std::fs::write(&profile, "x").unwrap();
        let config = configured(folder.path());
        std::fs::remove_file(&profile).unwrap();
        let faults = load(&config).unwrap_err();
        assert_eq!(faults[0].key, "agents[0].profile");
        assert!(faults[0].remedy.contains("--include profiles"));
    }
}
