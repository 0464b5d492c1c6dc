//! Floor 4. A session as bytes: saved to memory or to a file, and restored by a session of the same model.
//!
//! ```text
//! "BantamSE" | version: u32 | cache format: u32 | model: u64 | angles: u64 | positions: u64 | logits: u64 | adapters: u64
//! positions x token: u32
//! logits x f32
//! of a model with windows:  positions that layers with one have: u64
//! keys of each layer and head: positions x row, then the values likewise
//! of a model whose layers carry a state:  tokens that it has read: u64 | if any, state x f32
//! checksum of all before it: u64
//! ```
//! All numbers are little-endian. The cache's format has ggml's number; `model` is [`Model::fingerprint`], `angles` the sum
//! of what turns the keys, which for some models depends on the length of the context. There are as many logits as the
//! vocabulary has tokens, or none. `adapters` is a sum of the session's adapters and their scales, 0 without any.
//!
//! Invariant: nothing is taken over before the checksum agreed, and no number is believed that was not checked.
#![forbid(unsafe_code)]

use bantam_kernels::KvFormat;

use super::Session;
use crate::checksum::Checksum;
#[cfg(feature = "std")]
use crate::error::Ending;
use crate::error::{Error, Result, text};
use crate::format::TensorType;

const MAGIC: &[u8; 8] = b"BantamSE";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 56;
const CHECKSUM_BYTES: usize = 8;
/// The number of tokens that a state has read.
const STATE_HEADER_BYTES: usize = 8;
/// The number of positions that layers with a window have.
const RECENT_BYTES: usize = 8;
/// What is converted or summed at a time; it lies on the stack.
const PIECE_BYTES: usize = 4096;

/// Where bytes go, one piece after the other.
type Write<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;
/// Fills a piece with the bytes from an offset on.
type Read<'a> = dyn FnMut(u64, &mut [u8]) -> Result<()> + 'a;

impl Session {
    /// Bytes that the session takes when it is saved, as it is.
    pub fn saved_bytes(&self) -> usize {
        let logits = if self.scored { self.model.hyper().vocab_size } else { 0 };
        let recurrent = self.state_bytes(self.recurrent.at(self.position).is_some());
        let recent = self.kv.recent(self.position);
        let kv = self.recent_bytes() + self.kv.bytes(self.position, recent);
        HEADER_BYTES + 4 * (self.position + logits) + kv + recurrent + CHECKSUM_BYTES
    }

    /// Bytes of what the layers carry, if there is anything to be carried.
    fn state_bytes(&self, carried: bool) -> usize {
        match (self.recurrent.is_none(), carried) {
            (true, _) => 0,
            (false, false) => STATE_HEADER_BYTES,
            (false, true) => STATE_HEADER_BYTES + 4 * self.recurrent.len(),
        }
    }

    /// Bytes that tell how many positions layers with a window have.
    fn recent_bytes(&self) -> usize {
        if self.kv.forgets() { RECENT_BYTES } else { 0 }
    }

    /// Saves what the session holds, logits included, to the start of `out`; how many bytes that took. Nothing is allocated.
    ///
    /// # Errors
    /// [`Error::Argument`] if `out` is shorter than [`Session::saved_bytes`], [`Error::Changed`] if the model's file was cut short,
    /// [`Error::Cancelled`].
    pub fn save_to(&self, out: &mut [u8]) -> Result<usize> {
        let needed = self.saved_bytes();
        if out.len() < needed {
            return Err(Error::Argument(text!(
                "the saved session takes {needed} bytes, and {} are there",
                out.len()
            )));
        }
        let mut done = 0;
        self.write(&mut |piece| {
            out[done..][..piece.len()].copy_from_slice(piece);
            done += piece.len();
            Ok(())
        })?;
        Ok(done)
    }

    /// Makes the session hold what was saved, and score what follows. Nothing is allocated.
    ///
    /// # Errors
    /// [`Error::Saved`] if the bytes are damaged, of another model, version or cache format; [`Error::ContextFull`] if they
    /// hold more tokens than this session can: nothing has happened then.
    pub fn restore_from(&mut self, saved: &[u8]) -> Result<()> {
        self.read_saved(saved.len() as u64, &mut |at, out| {
            // Offsets are below the length that was told.
            out.copy_from_slice(&saved[at as usize..][..out.len()]);
            Ok(())
        })
    }

    /// Saves what the session holds, logits included, to a file. One that is there already is replaced when all is written,
    /// so there is always a whole one.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Changed`] if the model's file was cut short, [`Error::Cancelled`]: what was there before is then
    /// still there.
    #[cfg(feature = "std")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        self.save_file(path.as_ref()).map(|_| ())
    }

    /// As [`Session::save`]; the checksum at the end of the file.
    #[cfg(feature = "std")]
    pub(super) fn save_file(&self, path: &std::path::Path) -> Result<u64> {
        use std::io::Write;
        // What a link leads to is replaced, and not the link.
        let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let failed = |error| Error::Io(text!("cannot save the session to {}: {error}", Ending(path)));
        // A device would be replaced by the file.
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(Error::Io(text!("cannot save the session to {}: it is not a file", Ending(path))));
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(std::format!(".{}.new", std::process::id()));
        let new = path.with_file_name(name);
        let written = std::fs::File::create(&new)
            .map_err(failed)
            .and_then(|mut file| self.write(&mut |piece| file.write_all(piece).map_err(failed)))
            .and_then(|sum| std::fs::rename(&new, path).map_err(failed).map(|()| sum));
        written.inspect_err(|_| {
            // What is left of it is of no use; that it cannot be removed either is not worth another error.
            let _ = std::fs::remove_file(&new);
        })
    }

    /// Makes the session hold what was saved to a file.
    ///
    /// # Errors
    /// [`Error::Io`], and those of [`Session::restore_from`]. A file that changes while it is read leaves the session empty.
    #[cfg(feature = "std")]
    pub fn restore(&mut self, path: impl AsRef<std::path::Path>) -> Result<()> {
        with_file(path.as_ref(), |len, read| self.read_saved(len, read))
    }

    /// Hands all bytes to `write`, at the end the checksum, which comes out.
    fn write(&self, write: &mut Write<'_>) -> Result<u64> {
        self.check_memory()?;
        self.check_files()?;
        let mut checksum = Checksum::new();
        let mut put = |bytes: &[u8]| {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            checksum.add(bytes);
            write(bytes)
        };
        put(&self.header(self.position, self.scored))?;
        put_words(self.tokens().iter().map(|token| token.to_le_bytes()), &mut put)?;
        if self.scored {
            put_words(self.logits().iter().map(|logit| logit.to_le_bytes()), &mut put)?;
        }
        let recent = self.kv.recent(self.position);
        if self.kv.forgets() {
            put(&(recent as u64).to_le_bytes())?;
        }
        self.kv.each(self.position, recent, &mut put)?;
        if !self.recurrent.is_none() {
            let (read, state) = self.recurrent.at(self.position).unwrap_or((0, &[]));
            put(&(read as u64).to_le_bytes())?;
            put_words(state.iter().map(|value| value.to_le_bytes()), &mut put)?;
        }
        let sum = checksum.sum();
        write(&sum.to_le_bytes())?;
        Ok(sum)
    }

    /// The header of a session like this one, with so many positions, and with logits or without.
    fn header(&self, positions: usize, scored: bool) -> [u8; HEADER_BYTES] {
        let logits = if scored { self.model.hyper().vocab_size } else { 0 };
        let mut angles = Checksum::new();
        self.work.scratch.frequencies().for_each(|frequency| angles.add(&frequency.to_le_bytes()));
        let mut header = [0; HEADER_BYTES];
        let format = TensorType::Known(self.kv.format().format());
        header[0..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&format.number().to_le_bytes());
        header[16..24].copy_from_slice(&self.model.fingerprint().to_le_bytes());
        header[24..32].copy_from_slice(&angles.sum().to_le_bytes());
        header[32..40].copy_from_slice(&(positions as u64).to_le_bytes());
        header[40..48].copy_from_slice(&(logits as u64).to_le_bytes());
        header[48..56].copy_from_slice(&self.adapters_sum().to_le_bytes());
        header
    }

    /// Checks `len` bytes and takes them over.
    fn read_saved(&mut self, len: u64, read: &mut Read<'_>) -> Result<()> {
        self.check_files()?;
        let (positions, recent, scored) = self.check_saved(len, read)?;
        // From here on, what was there is overwritten.
        self.forget_spilled();
        self.position = 0;
        self.forget_logits();
        let mut checksum = Checksum::new();
        let mut at = 0;
        let mut take = |out: &mut [u8]| {
            read(at, out)?;
            checksum.add(out);
            at += out.len() as u64;
            Ok(())
        };
        take(&mut [0; HEADER_BYTES])?;
        take_words(&mut self.work.tokens[..positions], u32::from_le_bytes, &mut take)?;
        if scored {
            let vocab_size = self.model.hyper().vocab_size;
            take_words(&mut self.work.logits[..vocab_size], f32::from_le_bytes, &mut take)?;
        }
        if self.kv.forgets() {
            take(&mut [0; RECENT_BYTES])?;
        }
        self.kv.each_mut(positions, recent, &mut take)?;
        if !self.recurrent.is_none() {
            let mut read = [0; STATE_HEADER_BYTES];
            take(&mut read)?;
            let read = u64::from_le_bytes(read).min(positions as u64) as usize;
            let state = self.recurrent.reset(read);
            if read == 0 {
                state.fill(0.0);
            } else {
                take_words(state, f32::from_le_bytes, &mut take)?;
            }
        }
        let mut sum = [0; CHECKSUM_BYTES];
        read(at, &mut sum)?;
        if u64::from_le_bytes(sum) != checksum.sum() {
            return Err(Error::Saved(text!("it changed while it was read")));
        }
        let vocab_size = self.model.hyper().vocab_size;
        if let Some(token) = self.work.tokens[..positions].iter().find(|&&token| token as usize >= vocab_size)
        {
            return Err(Error::Saved(text!("token {token} is outside the vocabulary of {vocab_size}")));
        }
        (self.position, self.scored) = (positions, scored);
        Ok(())
    }

    /// How many positions there are, of which layers with a window have how many, and whether logits, once everything else is
    /// known to fit.
    fn check_saved(&self, len: u64, read: &mut Read<'_>) -> Result<(usize, usize, bool)> {
        let damaged = || Error::Saved(text!("it is damaged or was cut off"));
        let mut header = [0; HEADER_BYTES];
        if len < (HEADER_BYTES + CHECKSUM_BYTES) as u64 {
            return Err(Error::Saved(text!("{len} bytes are too few to be one")));
        }
        read(0, &mut header)?;
        if &header[..8] != MAGIC {
            return Err(Error::Saved(text!("it does not begin as one does: this is another kind of file")));
        }
        let u32_at = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| header[at + i]));
        let u64_at = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| header[at + i]));
        if u32_at(8) != VERSION {
            return Err(Error::Saved(text!("it has version {}, and this is version {VERSION}", u32_at(8))));
        }
        // Damage is told from what does not fit: who reads of another model should be able to believe it.
        if sum_of(len - CHECKSUM_BYTES as u64, read)? != sum_at_end(len, read)? {
            return Err(damaged());
        }
        let expected = self.header(0, false);
        if header[16..24] != expected[16..24] {
            return Err(Error::Saved(text!("it is of another model, or of another file of this one")));
        }
        if header[12..16] != expected[12..16] {
            let ours = self.kv.format().name();
            let theirs =
                KvFormat::ALL.iter().find(|kept| TensorType::Known(kept.format()).number() == u32_at(12));
            let theirs = theirs.map_or("what this version does not know", |kept| kept.name());
            return Err(Error::Saved(text!("its cache is kept as {theirs}, and this session's as {ours}")));
        }
        if header[24..32] != expected[24..32] {
            return Err(Error::Saved(text!(
                "this model turns its keys by the length of the context, which was another one"
            )));
        }
        if header[48..56] != expected[48..56] {
            return Err(Error::Saved(text!(
                "it was made with other adapters, or with other scales of them: set those first"
            )));
        }
        let (positions, logits) = (u64_at(32), u64_at(40));
        let vocab_size = self.model.hyper().vocab_size as u64;
        if logits != 0 && logits != vocab_size {
            return Err(damaged());
        }
        let context = self.plan.context;
        let Some(held) = usize::try_from(positions).ok().filter(|&positions| positions <= context) else {
            let needed = usize::try_from(positions).unwrap_or(usize::MAX);
            return Err(Error::ContextFull { needed, context });
        };
        let words = 4 * (positions + logits) + self.recent_bytes() as u64;
        if (HEADER_BYTES + CHECKSUM_BYTES) as u64 + words > len {
            return Err(damaged());
        }
        let mut recent = held;
        if self.kv.forgets() {
            let mut bytes = [0; RECENT_BYTES];
            read(HEADER_BYTES as u64 + words - RECENT_BYTES as u64, &mut bytes)?;
            let saved = usize::try_from(u64::from_le_bytes(bytes)).ok();
            recent = saved.filter(|&saved| saved <= held).ok_or_else(damaged)?;
        }
        let mut body = words + self.kv.bytes(held, recent) as u64;
        if !self.recurrent.is_none() {
            let mut tokens = [0; STATE_HEADER_BYTES];
            let at = HEADER_BYTES as u64 + body;
            if at + self.state_bytes(false) as u64 + CHECKSUM_BYTES as u64 > len {
                return Err(damaged());
            }
            read(at, &mut tokens)?;
            let tokens = u64::from_le_bytes(tokens);
            if tokens > positions {
                return Err(damaged());
            }
            body += self.state_bytes(tokens > 0) as u64;
        }
        if (HEADER_BYTES + CHECKSUM_BYTES) as u64 + body != len {
            return Err(damaged());
        }
        Ok((held, recent, logits != 0))
    }
}

/// Hands the length of a file and what reads it to `body`.
#[cfg(feature = "std")]
fn with_file<R>(path: &std::path::Path, body: impl FnOnce(u64, &mut Read<'_>) -> Result<R>) -> Result<R> {
    use std::io::{Read, Seek, SeekFrom};
    let failed = |error| Error::Io(text!("cannot read the saved session {}: {error}", Ending(path)));
    // A pipe would be waited for, and cannot be read twice.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::Io(text!("the saved session {} is not a file", Ending(path))));
    }
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    body(len, &mut |at, out| {
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(out)).map_err(failed)
    })
}

/// The sum at the end of a file, whatever else it holds.
#[cfg(feature = "std")]
pub(super) fn saved_sum(path: &std::path::Path) -> Result<u64> {
    with_file(path, |len, read| match len.checked_sub(CHECKSUM_BYTES as u64) {
        Some(_) => sum_at_end(len, read),
        None => Err(Error::Saved(text!("{len} bytes are too few to be one"))),
    })
}

/// The sum of the first `len` bytes.
fn sum_of(len: u64, read: &mut Read<'_>) -> Result<u64> {
    let mut checksum = Checksum::new();
    let mut piece = [0; PIECE_BYTES];
    let mut at = 0;
    while at < len {
        let piece = &mut piece[..(len - at).min(PIECE_BYTES as u64) as usize];
        read(at, piece)?;
        checksum.add(piece);
        at += piece.len() as u64;
    }
    Ok(checksum.sum())
}

/// The sum that stands behind all other bytes.
fn sum_at_end(len: u64, read: &mut Read<'_>) -> Result<u64> {
    let mut sum = [0; CHECKSUM_BYTES];
    read(len - CHECKSUM_BYTES as u64, &mut sum)?;
    Ok(u64::from_le_bytes(sum))
}

/// Hands on words of 4 bytes, many at a time.
fn put_words(words: impl Iterator<Item = [u8; 4]>, put: &mut Write<'_>) -> Result<()> {
    let mut piece = [0; PIECE_BYTES];
    let mut len = 0;
    for word in words {
        if len == PIECE_BYTES {
            put(&piece)?;
            len = 0;
        }
        piece[len..len + 4].copy_from_slice(&word);
        len += 4;
    }
    put(&piece[..len])
}

/// Fills `out` with words of 4 bytes, many at a time.
fn take_words<T>(
    out: &mut [T],
    word: impl Fn([u8; 4]) -> T,
    take: &mut dyn FnMut(&mut [u8]) -> Result<()>,
) -> Result<()> {
    let mut piece = [0; PIECE_BYTES];
    for out in out.chunks_mut(PIECE_BYTES / 4) {
        let piece = &mut piece[..4 * out.len()];
        take(piece)?;
        for (out, bytes) in out.iter_mut().zip(piece.as_chunks().0) {
            *out = word(*bytes);
        }
    }
    Ok(())
}
