//! Ctrl-C: the first stops what the session does, the second leaves at once.
#![forbid(unsafe_code)]

use bantam::Cancel;

use crate::failure::{Failure, INTERRUPTED, Result};

/// A switch that Ctrl-C sets. Pressed again before the switch is reset, it ends the process.
pub(crate) fn on_interrupt() -> Result<Cancel> {
    let cancel = Cancel::new()?;
    let switch = cancel.clone();
    let handler = move || {
        if switch.is_cancelled() {
            std::process::exit(INTERRUPTED.into());
        }
        switch.cancel();
    };
    ctrlc::set_handler(handler).map_err(|error| Failure::Message(format!("cannot watch Ctrl-C: {error}")))?;
    Ok(cancel)
}
