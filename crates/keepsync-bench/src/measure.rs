//! Clocks, medians, and what the kernel knows of a process.

use crate::Outcome;
use std::time::Duration;

/// CPU time this process has used, in all its threads, in user mode and in the kernel.
pub(crate) fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// CPU time that `work` took.
pub(crate) fn cpu_of(work: impl FnOnce() -> Outcome<()>) -> Outcome<Duration> {
    let start = cpu();
    work()?;
    Ok(cpu().saturating_sub(start))
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measurements of two sides taken in turns.
#[derive(Default)]
pub(crate) struct Pairs {
    pairs: Vec<(f64, f64)>,
}

impl Pairs {
    pub(crate) fn add(&mut self, ours: f64, theirs: f64) {
        self.pairs.push((ours, theirs));
    }

    pub(crate) fn ours(&self) -> f64 {
        median(self.pairs.iter().map(|pair| pair.0).collect())
    }

    pub(crate) fn theirs(&self) -> f64 {
        median(self.pairs.iter().map(|pair| pair.1).collect())
    }

    /// The median of the rounds' ratios: what slows both sides of a round cancels out.
    pub(crate) fn ratio(&self) -> f64 {
        median(self.pairs.iter().map(|pair| pair.0 / pair.1).collect())
    }
}

/// A number from a file of `/proc/self`, by its label.
fn proc_number(file: &str, label: &str) -> Outcome<f64> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}"))?;
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix(label))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("/proc/self/{file} has no {label}").into())
}

/// Bytes this process caused to be written to the disk, in whole pages.
pub(crate) fn bytes_written() -> Outcome<f64> {
    proc_number("io", "write_bytes:")
}

/// The most memory this process ever had, in MiB.
pub(crate) fn peak_mib() -> Outcome<f64> {
    Ok(proc_number("status", "VmHWM:")? / 1024.0)
}
