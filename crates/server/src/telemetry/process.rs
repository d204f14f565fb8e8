//! The process and the machine under it, as far as the system tells.

use std::path::Path;

/// The unit of processor time in `/proc`, whatever the kernel's own.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is not known is left out.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct ProcessFacts {
    pub resident_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub open_files: Option<u64>,
    pub max_files: Option<u64>,
    /// Seconds since the epoch.
    pub started: Option<f64>,
}

/// The disk that holds a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFacts {
    /// What this process may still use.
    pub free_bytes: u64,
    pub total_bytes: u64,
}

pub fn process() -> ProcessFacts {
    let text = |path: &str| std::fs::read_to_string(path).ok();
    let stat = text("/proc/self/stat");
    let times = stat.as_deref().and_then(cpu_and_start);
    let boot = text("/proc/stat").and_then(|stat| boot_time(&stat));
    ProcessFacts {
        resident_bytes: text("/proc/self/status").and_then(|status| resident(&status)),
        cpu_seconds: times.map(|(cpu, _)| cpu),
        open_files: std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
        max_files: text("/proc/self/limits").and_then(|limits| max_files(&limits)),
        started: times.zip(boot).map(|((_, since_boot), boot)| boot + since_boot),
    }
}

pub fn disk(directory: &Path) -> Option<DiskFacts> {
    let found = rustix::fs::statvfs(directory).ok()?;
    Some(DiskFacts { free_bytes: found.f_bavail * found.f_frsize, total_bytes: found.f_blocks * found.f_frsize })
}

/// Seconds of processor time, and seconds from the machine's start to the process's.
fn cpu_and_start(stat: &str) -> Option<(f64, f64)> {
    // The name of the command is in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some(((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND, ticks(19)? / TICKS_PER_SECOND))
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn max_files(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_proc_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1200 1 1";
        assert_eq!(cpu_and_start(stat), Some((2.0, 12.0)));
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
        assert_eq!(resident("VmPeak: 9 kB\nVmRSS:\t    2 kB\n"), Some(2048));
        let limits = "Limit      Soft Limit    Hard Limit   Units\nMax open files    1024    4096    files\n";
        assert_eq!(max_files(limits), Some(1024));
        assert_eq!(cpu_and_start("nothing"), None);
    }
}
