//! What this process holds of the system.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Handles {
    pub(crate) files: usize,
    pub(crate) threads: usize,
    pub(crate) resident_kb: u64,
}

impl Handles {
    pub(crate) fn count() -> Self {
        let entries = |folder: &str| std::fs::read_dir(folder).expect("Linux").count();
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a size");
        let resident_kb = resident.trim().trim_end_matches(" kB").parse().expect("a number");
        Self {
            files: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            resident_kb,
        }
    }
}
