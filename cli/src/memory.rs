//! The memory that this process holds, as the system counts it.
#![forbid(unsafe_code)]

/// Resident memory by what is behind it, in bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Backed by nothing: heap, stacks, the KV cache. The system cannot take it back.
    pub(crate) anonymous_bytes: u64,
    /// Pages of files: weights, program. The system can drop and read them again.
    pub(crate) file_bytes: u64,
}

impl Memory {
    /// What is held now; `None` where the system does not tell (it is read from Linux's `/proc`).
    pub(crate) fn now() -> Option<Memory> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
            kib.checked_mul(1024)
        };
        Some(Memory { anonymous_bytes: field("RssAnon:")?, file_bytes: field("RssFile:")? })
    }

    /// The greater of each.
    pub(crate) fn max(self, other: Memory) -> Memory {
        Memory {
            anonymous_bytes: self.anonymous_bytes.max(other.anonymous_bytes),
            file_bytes: self.file_bytes.max(other.file_bytes),
        }
    }
}
