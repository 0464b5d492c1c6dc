//! Floor 6. How long things take, where there is a clock.

/// A moment.
#[cfg(feature = "std")]
#[derive(Clone, Copy)]
pub(crate) struct Moment(std::time::Instant);

#[cfg(feature = "std")]
impl Moment {
    pub(crate) fn now() -> Moment {
        Moment(std::time::Instant::now())
    }

    /// Microseconds since then.
    pub(crate) fn elapsed_us(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Without an operating system there is no clock, and everything takes no time.
#[cfg(not(feature = "std"))]
#[derive(Clone, Copy)]
pub(crate) struct Moment;

#[cfg(not(feature = "std"))]
impl Moment {
    pub(crate) fn now() -> Moment {
        Moment
    }

    pub(crate) fn elapsed_us(self) -> u64 {
        0
    }
}

/// How often the process has waited for a page to be read from a file; 0 where that is not told.
pub(crate) fn major_faults() -> u64 {
    #[cfg(all(feature = "std", unix))]
    {
        // SAFETY: all zeros are a value of it, and getrusage fills it.
        let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
        // SAFETY: a whole rusage of ours.
        if unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } == 0 {
            return u64::try_from(usage.ru_majflt).unwrap_or(0);
        }
    }
    0
}
