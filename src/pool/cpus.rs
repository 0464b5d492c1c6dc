//! Floor 2. The CPUs that this process may use, and how many of them are the fast ones of a phone.
//!
//! Linux and Android say in text files which CPUs a thread may run on, how much each can do next to the fastest
//! (`cpu_capacity`, 1024 is the fastest), and how fast its clock may run (`cpuinfo_max_freq`, in kHz). Files that are missing
//! or make no sense make all CPUs equal.
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// CPUs beyond this number are not looked at.
const CPUS_MAX: usize = 4096;
/// More of a text file is not read.
const BYTES_MAX: u64 = 1 << 16;

/// The CPUs that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    usable: usize,
    fast: usize,
}

impl Cpus {
    /// Asks the system: its affinity mask, the quota of its cgroup, and on Linux and Android the kinds of its cores.
    pub fn detect() -> Cpus {
        let usable = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
        Cpus::read(Path::new("/"), usable)
    }

    /// CPUs that the calling thread may use: those of its affinity mask, or fewer where a quota of its cgroup allows no more
    /// time than that.
    pub fn usable(&self) -> usize {
        self.usable
    }

    /// The fast ones among them: all, unless some are much slower than the others.
    pub fn fast(&self) -> usize {
        self.fast
    }

    /// Threads that a pool should have if nothing else is known: one for each fast CPU. Slow ones would add little, and
    /// make the others wait.
    pub fn threads(&self) -> usize {
        self.fast
    }

    /// Looks into a tree of files like that of Linux, for `usable` CPUs.
    fn read(root: &Path, usable: usize) -> Cpus {
        let text = |path: &str| read_text(&root.join(path));
        let allowed = text("proc/thread-self/status").and_then(|status| allowed_cpus(&status));
        let cpus = allowed.unwrap_or_else(|| (0..usable.min(CPUS_MAX)).collect());
        let of_each = |file: &str| -> Option<Vec<u64>> {
            let path = |cpu: &usize| alloc::format!("sys/devices/system/cpu/cpu{cpu}/{file}");
            cpus.iter().map(|cpu| text(&path(cpu)).and_then(|text| number(&text))).collect()
        };
        // Clocks differ less than what is done in a cycle of them.
        let fast = of_each("cpu_capacity")
            .map(|capacities| fast(&capacities, 75))
            .or_else(|| of_each("cpufreq/cpuinfo_max_freq").map(|clocks| fast(&clocks, 90)))
            .filter(|&fast| fast > 0);
        Cpus { usable, fast: fast.map_or(usable, |fast| fast.min(usable)) }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cpus { usable, fast } = self;
        match (usable, fast) {
            (1, _) => f.write_str("1 CPU"),
            (usable, fast) if usable == fast => write!(f, "{usable} CPUs"),
            (usable, fast) => write!(f, "{usable} CPUs, {fast} of them fast"),
        }
    }
}

/// How many of CPUs with these speeds are not of the slowest kind, if that has at most `percent` of the fastest's speed and
/// the others have two fifths of all there is.
fn fast(speeds: &[u64], percent: u64) -> usize {
    let (Some(&least), Some(&most)) = (speeds.iter().min(), speeds.iter().max()) else { return 0 };
    // Kinds are told apart by more than the last digits.
    let slow = |speed: u64| u128::from(speed) * 100 <= u128::from(least) * 105;
    let sum = |speeds: &mut dyn Iterator<Item = u64>| speeds.map(u128::from).sum::<u128>();
    let all = sum(&mut speeds.iter().copied());
    let others = sum(&mut speeds.iter().copied().filter(|&speed| !slow(speed)));
    if u128::from(least) * 100 <= u128::from(most) * u128::from(percent) && others * 5 >= all * 2 {
        speeds.iter().filter(|&&speed| !slow(speed)).count()
    } else {
        speeds.len()
    }
}

/// The CPUs in a line like `Cpus_allowed_list:   0-3,6`.
fn allowed_cpus(status: &str) -> Option<Vec<usize>> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if first > last || last >= CPUS_MAX || cpus.len() > CPUS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// A number greater than 0 on a line of its own.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&number| number > 0)
}

fn read_text(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A made-up machine, gone at the end of its test.
    struct Machine(PathBuf);

    impl Machine {
        /// Files of each CPU: its capacity and its clock, where not empty; and which of them are allowed.
        fn new(name: &str, cpus: &[(&str, &str)], allowed: &str) -> Machine {
            let root = std::env::temp_dir().join(alloc::format!("bantam-cpus-{}-{name}", std::process::id()));
            let write = |path: String, text: &str| {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            };
            for (cpu, (capacity, clock)) in cpus.iter().enumerate() {
                let cpu = alloc::format!("sys/devices/system/cpu/cpu{cpu}");
                if !capacity.is_empty() {
                    write(alloc::format!("{cpu}/cpu_capacity"), capacity);
                }
                if !clock.is_empty() {
                    write(alloc::format!("{cpu}/cpufreq/cpuinfo_max_freq"), clock);
                }
            }
            if !allowed.is_empty() {
                let status = alloc::format!(
                    "Name:\tbantam\nCpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\nMems:\t0\n"
                );
                write("proc/thread-self/status".into(), &status);
            }
            Machine(root)
        }

        fn fast(&self, usable: usize) -> usize {
            let cpus = Cpus::read(&self.0, usable);
            assert_eq!(cpus.usable(), usable);
            assert_eq!(cpus.threads(), cpus.fast());
            cpus.fast()
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const LITTLE: (&str, &str) = ("250\n", "1804800\n");
    const MIDDLE: (&str, &str) = ("620\n", "2253000\n");
    const BIG: (&str, &str) = ("1024\n", "2841600\n");

    #[test]
    fn the_slowest_kind_of_a_phone_is_left_out() {
        let four_and_four = [LITTLE, LITTLE, LITTLE, LITTLE, BIG, BIG, BIG, BIG];
        assert_eq!(Machine::new("4+4", &four_and_four, "0-7").fast(8), 4);
        let three_kinds = [LITTLE, LITTLE, LITTLE, LITTLE, MIDDLE, MIDDLE, MIDDLE, BIG];
        assert_eq!(Machine::new("1+3+4", &three_kinds, "0-7").fast(8), 4);
        let two_and_six = [LITTLE, LITTLE, LITTLE, LITTLE, LITTLE, LITTLE, BIG, BIG];
        assert_eq!(Machine::new("2+6", &two_and_six, "0-7").fast(8), 2);
        assert_eq!(Machine::new("quota", &three_kinds, "0-7").fast(3), 3);
    }

    #[test]
    fn only_cpus_that_are_allowed_count() {
        let phone = [LITTLE, LITTLE, LITTLE, LITTLE, MIDDLE, MIDDLE, MIDDLE, BIG];
        assert_eq!(Machine::new("background", &phone, "0-3").fast(4), 4);
        assert_eq!(Machine::new("one-big", &phone, "2-4,7").fast(4), 2);
    }

    #[test]
    fn clocks_tell_kinds_apart_where_capacities_are_missing() {
        let clock = |(_, clock)| ("", clock);
        let phone = [LITTLE, LITTLE, LITTLE, LITTLE, MIDDLE, MIDDLE, MIDDLE, BIG].map(clock);
        assert_eq!(Machine::new("clocks", &phone, "0-7").fast(8), 4);
        // One without a capacity, and all have a clock.
        let mut mixed = [LITTLE, LITTLE, BIG, BIG];
        mixed[0].0 = "";
        assert_eq!(Machine::new("mixed", &mixed, "0-3").fast(4), 2);
        // Cores of one kind that differ in what they reach at best.
        let favoured = [("", "5750000"), ("", "5750000"), ("", "5450000"), ("", "5450000")];
        assert_eq!(Machine::new("favoured", &favoured, "0-3").fast(4), 4);
    }

    #[test]
    fn equal_cpus_are_all_fast() {
        assert_eq!(Machine::new("equal", &[BIG; 4], "0-3").fast(4), 4);
        assert_eq!(Machine::new("single", &[LITTLE], "0").fast(1), 1);
        // The fast one alone would be worth less than all.
        let one_of_eight = [MIDDLE, MIDDLE, MIDDLE, MIDDLE, MIDDLE, MIDDLE, MIDDLE, BIG];
        assert_eq!(Machine::new("1+7", &one_of_eight, "0-7").fast(8), 8);
    }

    #[test]
    fn without_files_all_cpus_are_equal() {
        assert_eq!(Machine::new("nothing", &[], "").fast(6), 6);
        assert_eq!(Machine::new("no-status", &[LITTLE, LITTLE, BIG, BIG], "").fast(4), 2);
        assert_eq!(Machine::new("no-speeds", &[("", ""); 4], "0-3").fast(4), 4);
        assert_eq!(Machine::new("a-gap", &[LITTLE, BIG, ("", "")], "0-2").fast(3), 3);
    }

    #[test]
    fn files_that_make_no_sense_are_as_good_as_none() {
        let digits = "9".repeat(5_000);
        let long = alloc::format!("1024\n{}", "\0".repeat(1 << 17));
        for (i, text) in ["0", "-1", "many", "1 2", "\u{ff11}", "\n", &digits, &long].into_iter().enumerate()
        {
            let name = alloc::format!("speed-{i}");
            assert_eq!(Machine::new(&name, &[(text, ""), BIG], "0-1").fast(2), 2, "{text:.20}");
        }
        let most = alloc::format!("{}", u64::MAX);
        assert_eq!(Machine::new("most", &[(&most, ""), (&most, ""), LITTLE], "0-2").fast(3), 2);
        for (i, list) in
            ["3-1", "0-18446744073709551615", "0-99999999", "x", "0,,1", "-"].into_iter().enumerate()
        {
            let name = alloc::format!("list-{i}");
            assert_eq!(Machine::new(&name, &[LITTLE, BIG], list).fast(2), 1, "{list}");
        }
        let endless = "0-4000,".repeat(9_000);
        assert_eq!(Machine::new("endless", &[LITTLE, BIG], &endless).fast(2), 1);
    }

    #[test]
    fn the_kinds_are_told_in_words() {
        let text = |usable, fast| alloc::format!("{}", Cpus { usable, fast });
        assert_eq!([text(1, 1), text(2, 2), text(8, 4)], ["1 CPU", "2 CPUs", "8 CPUs, 4 of them fast"]);
        let cpus = Cpus::detect();
        assert!(cpus.fast() >= 1 && cpus.fast() <= cpus.usable());
    }
}
