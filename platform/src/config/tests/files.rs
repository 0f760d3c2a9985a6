//! The file itself, and those that it names.

use super::*;

#[test]
fn a_profile_without_its_file_and_a_missing_folder_are_faults() {
    let (key, _, said) =
        fault_of("agents:\n  - profile: support\n  - profile: sales\n    rooms: [sales-*]\n");
    assert_eq!(key, "profiles", "{said}");

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("profiles")).unwrap();
    fs::write(folder.path().join("profiles/support.yaml"), "").unwrap();
    let text = "agents:\n  - profile: support\n    numbers: [+15550100]\n  - profile: sales\n    numbers: ['+1555012*']\n";
    let faults = parse_in(folder.path(), text, &least()).unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!((faults.count(), fault.key.as_str()), (1, "agents[1].profile"));
    assert!(fault.remedy.contains("(support)"), "{}", fault.remedy);
}

#[test]
fn a_file_that_is_no_yaml_or_not_there_is_one_fault() {
    let (key, place, said) = fault_of("livekit:\n\turl: x\n");
    assert_eq!((key.as_str(), place), ("", Place::File(Some(2))), "{said}");
    let faults = load(Some(Path::new("/nowhere/trunkline.yaml")), &least()).unwrap_err();
    assert_eq!(faults.count(), 1);
    assert!(faults.to_string().contains("/nowhere/trunkline.yaml"));
}

#[test]
fn what_is_no_file_or_too_large_is_one_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trunkline.yaml");
    let fault_of = |path: &Path| {
        let faults = load(Some(path), &least()).unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert_eq!((faults.count(), fault.key.as_str()), (1, ""), "{faults}");
        format!("{} / {}", fault.problem, fault.remedy)
    };
    for other in [Path::new("/dev/null"), folder.path()] {
        let said = fault_of(other);
        assert!(said.contains("no regular file / name a file"), "{said}");
    }
    let largest = "#".repeat(1 << 20);
    fs::write(&file, &largest).unwrap();
    assert!(load(Some(&file), &least()).is_ok());
    fs::write(&file, format!("{largest}#")).unwrap();
    assert!(fault_of(&file).contains("more than 1048576 bytes"));
    fs::write(&file, b"livekit: \xff").unwrap();
    assert!(fault_of(&file).contains("UTF-8"));
}

#[test]
fn a_profile_that_is_no_file_is_a_fault_of_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("profiles/support.yaml")).unwrap();
    let text = "agents: [{profile: support}]";
    let faults = parse_in(folder.path(), text, &least()).unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!((faults.count(), fault.key.as_str()), (1, "agents[0].profile"));
    assert!(
        fault.problem.contains("support.yaml is no regular file"),
        "{}",
        fault.problem
    );
}

#[test]
fn paths_begin_at_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trunkline.yaml");
    fs::write(&file, "queue: sqlite:q.db\nstore: file:/abs\n").unwrap();
    let config = load(Some(&file), &least()).unwrap();
    assert_eq!(config.queue, QueueConfig::Sqlite(folder.path().join("q.db")));
    assert_eq!(config.store, StoreConfig::Folder("/abs".into()));
    fs::write(&file, "store: s3://bucket?region=r\n").unwrap();
    let StoreConfig::S3(store) = load(Some(&file), &least()).unwrap().store else {
        panic!("no bucket")
    };
    assert_eq!(store.spool, folder.path().join("data/spool"));
}
