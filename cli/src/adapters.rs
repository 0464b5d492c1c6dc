//! The adapters of `bantam run`: files that change the model while it runs.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use bantam::mmap::Mapping;
use bantam::{Adapter, Model, Session};
use clap::Args;

use crate::failure::Result;
use crate::options::ModelFile;
use crate::output::note;
use crate::units;

/// What is added to the model.
#[derive(Args)]
pub(crate) struct Adapters {
    /// Add a LoRA adapter for this model, a GGUF file, with a scale if not 1; may be given several times
    #[arg(long, value_name = "FILE[=SCALE]", value_parser = parse)]
    lora: Vec<Asked>,
}

/// An adapter as it was asked for.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    path: PathBuf,
    scale: f32,
}

/// Adapters that are open, with their scales.
pub(crate) struct Opened(Vec<(Adapter, f32)>);

impl Adapters {
    pub(crate) fn open(&self, model: &Model) -> Result<Opened> {
        let open = |asked: &Asked| {
            let file = ModelFile { path: asked.path.clone() };
            let mapping: Mapping = file.map()?;
            let adapter = Adapter::from_mapping(model, mapping).map_err(|error| file.blame(error))?;
            Ok((adapter, asked.scale))
        };
        self.lora.iter().map(open).collect::<Result<_>>().map(Opened)
    }

    /// Says what was opened.
    pub(crate) fn describe(&self, opened: &Opened) {
        for (asked, (adapter, scale)) in self.lora.iter().zip(&opened.0) {
            note(&format!(
                "adapter: {}, rank {}, for {} of the model, scale {scale}",
                asked.path.display(),
                adapter.rank(),
                units::plural(adapter.matrices(), "tensor")
            ));
        }
    }
}

impl Opened {
    /// What a session needs room for.
    pub(crate) fn rank(&self) -> usize {
        self.0.iter().map(|(adapter, _)| adapter.rank()).sum()
    }

    pub(crate) fn set(&self, session: &mut Session) -> Result<()> {
        let all: Vec<_> = self.0.iter().map(|(adapter, scale)| (adapter, *scale)).collect();
        Ok(session.set_adapters(&all)?)
    }
}

/// `FILE`, or `FILE=SCALE` if there is no file of that whole name.
fn parse(text: &str) -> std::result::Result<Asked, String> {
    let whole = || Asked { path: text.into(), scale: 1.0 };
    let Some((path, scale)) = text.rsplit_once('=') else { return Ok(whole()) };
    match scale.parse::<f32>() {
        Ok(scale) if scale.is_finite() => Ok(Asked { path: path.into(), scale }),
        _ if PathBuf::from(text).exists() => Ok(whole()),
        _ => Err(format!("the scale {scale:?} is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_stands_behind_the_last_sign() {
        let asked = |path: &str, scale| Ok(Asked { path: path.into(), scale });
        assert_eq!(parse("a.gguf"), asked("a.gguf", 1.0));
        assert_eq!(parse("a=b.gguf=-0.5"), asked("a=b.gguf", -0.5));
        assert!(parse("a.gguf=much").is_err() && parse("a.gguf=inf").is_err() && parse("a.gguf=").is_err());
    }
}
