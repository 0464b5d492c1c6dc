//! Floor 8. Embedders: texts in, vectors out, or scores of how well a document answers a query.

use alloc::vec::Vec;
use core::ffi::c_char;

use bantam::{EmbedOptions, Embedder, Input, Pooling};

use crate::boundary::{BANTAM_NUL_TERMINATED, Caller, Plain, call};
use crate::cancel::bantam_cancel;
use crate::handle::{Noun, create_at};
use crate::model::{Log, bantam_model};
use crate::options::{Struct, flag, or_default};
use crate::pool::bantam_pool;
use crate::session::bantam_plan;
use crate::status::{
    BANTAM_ARGUMENT, BANTAM_MEMORY, BANTAM_TOO_SMALL, Result, bantam_error, bantam_status, fail,
};

/// What makes vectors of texts. One thread at a time may use it; a second one gets BANTAM_BUSY.
pub struct bantam_embedder(());

impl Noun for bantam_embedder {
    const MAGIC: u32 = u32::from_le_bytes(*b"bemb");
    const NAME: &'static str = "the embedder";
    type Inside = OpenEmbedder;
}

/// What is behind an embedder's handle.
pub(crate) struct OpenEmbedder {
    embedder: Embedder,
    log: Log,
}

/// What the model's file says.
pub const BANTAM_POOLING_DEFAULT: i32 = 0;
/// Every token has a vector of its own.
pub const BANTAM_POOLING_NONE: i32 = 1;
/// A text's vector is the mean of those of its tokens.
pub const BANTAM_POOLING_MEAN: i32 = 2;
/// It is that of the first token.
pub const BANTAM_POOLING_CLS: i32 = 3;
/// It is that of the last token.
pub const BANTAM_POOLING_LAST: i32 = 4;
/// The model's head scores the text: how well a document answers a query.
pub const BANTAM_POOLING_RANK: i32 = 5;

/// How to open an embedder. Zeros mean defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_embedder_options {
    /// sizeof(bantam_embedder_options)
    pub struct_size: usize,
    /// The most tokens of a text; 0 is what the model reads, up to 2048.
    pub context: usize,
    /// How texts become vectors: BANTAM_POOLING_...
    pub pooling: i32,
    /// 1 leaves vectors as long as they are; 0 brings them to length 1, so that the sum of the products of two is a cosine.
    pub keep_length: i32,
    /// Threads of the embedder's own pool; 0 is bantam_threads_default(). Without meaning beside `pool`.
    pub threads: usize,
    /// The threads that it works with; NULL makes a pool of its own.
    pub pool: *const bantam_pool,
    /// Stops it; NULL is none.
    pub cancel: *const bantam_cancel,
}

// SAFETY: repr(C), a usize first, and integers and pointers, null or not, of any bytes.
unsafe impl Struct for bantam_embedder_options {
    const NAME: &'static str = "bantam_embedder_options";
}

/// A text, or a pair of a query and a document.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_embed_text {
    /// UTF-8.
    pub text: *const c_char,
    /// How many bytes; 0 stands for all up to the first 0.
    pub text_bytes: usize,
    /// The document, if `text` is a query that is asked of it; NULL is none.
    pub document: *const c_char,
    /// How many bytes; 0 stands for all up to the first 0.
    pub document_bytes: usize,
}

// SAFETY: repr(C), and integers and pointers, which are another matter to follow.
unsafe impl Plain for bantam_embed_text {}

/// How an embedder stands.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_embedder_info {
    /// sizeof(bantam_embedder_info), set by the caller.
    pub struct_size: usize,
    /// Values of a vector, or of a score.
    pub dim: usize,
    /// The most tokens of a text.
    pub context: usize,
    /// Threads that it works with.
    pub threads: usize,
    /// Bytes of memory.
    pub total_bytes: usize,
    /// How texts become vectors: BANTAM_POOLING_..., and never the default.
    pub pooling: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: repr(C), and integers of any bytes.
unsafe impl Struct for bantam_embedder_info {
    const NAME: &'static str = "bantam_embedder_info";
}

/// Cuts texts that are too long off, and keeps the special token that ends them, instead of BANTAM_CONTEXT_FULL.
pub const BANTAM_EMBED_TRUNCATE: u32 = 1;

/// The options of the runtime that those of the caller mean.
fn read_options(options: &bantam_embedder_options) -> Result<EmbedOptions> {
    let pooling = match options.pooling {
        BANTAM_POOLING_DEFAULT => None,
        BANTAM_POOLING_NONE => Some(Pooling::None),
        BANTAM_POOLING_MEAN => Some(Pooling::Mean),
        BANTAM_POOLING_CLS => Some(Pooling::Cls),
        BANTAM_POOLING_LAST => Some(Pooling::Last),
        BANTAM_POOLING_RANK => Some(Pooling::Rank),
        other => return Err(fail!(BANTAM_ARGUMENT, "there is no pooling {other}; they are 0 to 5")),
    };
    Ok(EmbedOptions {
        context: or_default(options.context),
        pooling,
        normalize: !flag(options.keep_length, "keep_length of bantam_embedder_options")?,
    })
}

/// Says how much memory an embedder of these options takes, to the byte.
///
/// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_MEMORY, BANTAM_UNSUPPORTED as
/// bantam_embedder_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_embedder_plan(
    model: *const bantam_model,
    options: *const bantam_embedder_options,
    plan: *mut bantam_plan,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let options = caller.options(options)?;
        let threads = caller.threads(options.pool, options.threads)?;
        let found = Embedder::plan(&caller.mapped(model)?.model, &read_options(&options)?, threads)?;
        caller.fill(plan, &found.into())
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens an embedder, and has all the memory that it computes in.
///
/// Ownership: the caller frees it with bantam_embedder_free. It keeps what it needs of model, pool and cancel object.
/// Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY, BANTAM_CHANGED, BANTAM_UNSUPPORTED if neither the file nor
/// the options say how texts become vectors, and BANTAM_IO if the system starts no more threads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_embedder_open(
    model: *const bantam_model,
    options: *const bantam_embedder_options,
    out: *mut *mut bantam_embedder,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.out(out, "out")?;
        let options = caller.options(options)?;
        let model = caller.shared(model)?;
        let pool = caller.pool(options.pool, options.threads)?;
        let cancel = caller.cancel(options.cancel)?;
        let mut embedder = Embedder::open(&model.model, pool, &read_options(&options)?)?;
        if let Some(cancel) = cancel {
            embedder.set_cancel(cancel);
        }
        model.log.line(format_args!(
            "embedder opened: context of {}, {} bytes, {} threads",
            embedder.context(),
            embedder.memory().total_bytes(),
            embedder.pool().threads()
        ));
        create_at(out, OpenEmbedder { embedder, log: model.log })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Says how an embedder stands.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_embedder_get_info(
    embedder: *mut bantam_embedder,
    info: *mut bantam_embedder_info,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(embedder, |OpenEmbedder { embedder, .. }| {
            let value = bantam_embedder_info {
                struct_size: 0,
                dim: embedder.dim(),
                context: embedder.context(),
                threads: embedder.pool().threads(),
                total_bytes: embedder.memory().total_bytes(),
                pooling: match embedder.pooling() {
                    Pooling::None => BANTAM_POOLING_NONE,
                    Pooling::Mean => BANTAM_POOLING_MEAN,
                    Pooling::Cls => BANTAM_POOLING_CLS,
                    Pooling::Last => BANTAM_POOLING_LAST,
                    _ => BANTAM_POOLING_RANK,
                },
                reserved: 0,
            };
            caller.fill(info, &value)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Lets `cancel` stop the embedder from here on; NULL lets nothing.
///
/// Ownership: the embedder keeps what it needs of it. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_embedder_set_cancel(
    embedder: *mut bantam_embedder,
    cancel: *const bantam_cancel,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let cancel = caller.cancel_or_new(cancel)?;
        caller.exclusive(embedder, |open| {
            open.embedder.set_cancel(cancel);
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Makes vectors of `count` texts, one behind the other in `out`, which has room for `capacity` values: `dim` for each text, or without
/// pooling for each of its tokens. How many that were is written to `written`, which may be NULL.
///
/// Several texts go through the model at once, so many in one call are faster than as many calls. `flags` are BANTAM_EMBED_... What
/// the texts' tokens take comes from the heap.
///
/// Ownership: none taken. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_MEMORY, BANTAM_CHANGED; BANTAM_CONTEXT_FULL for a text of more tokens than the
/// embedder's context; BANTAM_TOO_SMALL, with the number of values in `detail`: nothing is written then. BANTAM_CANCELLED, and
/// BANTAM_INCONSISTENT for weights that make values which are no numbers: what is in `out` means nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_embedder_embed(
    embedder: *mut bantam_embedder,
    texts: *const bantam_embed_text,
    count: usize,
    flags: u32,
    out: *mut f32,
    capacity: usize,
    written: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let texts = caller.slice(texts, count, "texts")?;
        let written = caller.optional_out(written, "written")?;
        let out = caller.slice_mut(out, capacity, "out")?;
        if flags & !BANTAM_EMBED_TRUNCATE != 0 {
            return Err(fail!(BANTAM_ARGUMENT, "flags {flags:#x} of bantam_embedder_embed are not known"));
        }
        caller.exclusive(embedder, |OpenEmbedder { embedder, .. }| {
            // How a pair is put together is read of the file.
            embedder.model().file().mapping().check()?;
            let Encoded { tokens, parts } =
                encode(caller, embedder, texts, flags & BANTAM_EMBED_TRUNCATE != 0)?;
            let mut inputs = Vec::new();
            reserve(&mut inputs, parts.len())?;
            let mut start = 0;
            for &(end, first) in &parts {
                inputs.push(Input { tokens: &tokens[start..end], first });
                start = end;
            }
            let values = embedder.values(&inputs);
            if values > out.len() {
                return Err(fail!(
                    BANTAM_TOO_SMALL,
                    "the vectors are {values} values, and `out` has room for {capacity}"
                )
                .with_detail(values));
            }
            embedder.embed(&inputs, &mut out[..values])?;
            if let Some(written) = written {
                written.write(values);
            }
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Gives the memory that texts are read in back to the system, when an app goes into the background or is warned that memory is short; the
/// next call takes it again, and makes the same vectors. `released`, which may be NULL, is how many bytes were given back.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_embedder_trim(
    embedder: *mut bantam_embedder,
    released: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.optional_out(released, "released")?;
        caller.exclusive(embedder, |open| {
            let released = open.embedder.trim();
            open.log.line(format_args!("embedder trimmed: {released} bytes given back"));
            if let Some(out) = out {
                out.write(released);
            }
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The tokens of all texts.
struct Encoded {
    tokens: Vec<u32>,
    /// Of each text: where its tokens end, and how many belong to its first part.
    parts: Vec<(usize, usize)>,
}

fn encode(
    caller: Caller,
    embedder: &Embedder,
    texts: &[bantam_embed_text],
    truncate: bool,
) -> Result<Encoded> {
    let text = |start, bytes, what| {
        let bytes = if bytes == 0 { BANTAM_NUL_TERMINATED } else { bytes };
        caller.text(start, bytes, what)
    };
    let (mut all, mut parts, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    reserve(&mut parts, texts.len())?;
    for each in texts {
        tokens.clear();
        let query = text(each.text, each.text_bytes, "text")?;
        let first = if each.document.is_null() {
            embedder.encode(query, &mut tokens)?;
            tokens.len()
        } else {
            let document = text(each.document, each.document_bytes, "document")?;
            embedder.encode_pair(query, document, &mut tokens)?
        };
        if truncate {
            embedder.truncate(&mut tokens);
        }
        reserve(&mut all, tokens.len())?;
        all.extend_from_slice(&tokens);
        parts.push((all.len(), first.min(tokens.len())));
    }
    Ok(Encoded { tokens: all, parts })
}

fn reserve<T>(all: &mut Vec<T>, more: usize) -> Result<()> {
    let bytes = more.saturating_mul(size_of::<T>());
    all.try_reserve(more)
        .map_err(|_| fail!(BANTAM_MEMORY, "{bytes} bytes for tokens cannot be had").with_detail(bytes))
}

/// Frees an embedder; NULL is none.
///
/// Ownership: ends. Threads: any, while nobody else uses it.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY if another call uses it: it is not freed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_embedder_free(embedder: *mut bantam_embedder) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(embedder)) }
}
