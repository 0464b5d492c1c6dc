//! A thin safe wrapper over llama.cpp's C functions: open, tokenise, decode, read logits, name its features.
//!
//! Invariant: a context borrows its model, so neither outlives what it points into; token ids that reach C are
//! below the vocabulary's size.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Once;

use anyhow::{Result, anyhow, bail, ensure};
use llama_cpp_sys_2 as sys;

/// A token id as llama.cpp counts them.
pub(crate) type Token = i32;

/// What of a file is loaded, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// The tokenizer alone: also works on vocabulary-only files.
    Vocabulary,
    /// Weights in the layout of the file, as the reference of values.
    Plain,
    /// Weights repacked where llama.cpp has faster kernels for that, as its users run it.
    Fast,
}

/// An open model.
pub(crate) struct Model {
    raw: NonNull<sys::llama_model>,
    vocabulary: NonNull<sys::llama_vocab>,
}

impl Model {
    /// Opens a GGUF file by memory map, on the CPU.
    pub(crate) fn open(path: &Path, load: Load) -> Result<Self> {
        start();
        let name = CString::new(path.as_os_str().as_encoded_bytes())?;
        // SAFETY: the function takes nothing and returns a plain struct.
        let mut options = unsafe { sys::llama_model_default_params() };
        options.n_gpu_layers = 0;
        options.vocab_only = load == Load::Vocabulary;
        options.use_extra_bufts = load == Load::Fast;
        // SAFETY: `name` is a C string that lives through the call, and the options are llama.cpp's own defaults.
        let raw = unsafe { sys::llama_model_load_from_file(name.as_ptr(), options) };
        let raw = NonNull::new(raw).ok_or_else(|| anyhow!("llama.cpp cannot open {}", path.display()))?;
        // SAFETY: `raw` is a model that was just opened; the vocabulary lives as long as it.
        let vocabulary = unsafe { sys::llama_model_get_vocab(raw.as_ptr()) };
        match NonNull::new(vocabulary.cast_mut()) {
            Some(vocabulary) => Ok(Self { raw, vocabulary }),
            None => bail!("{} has no vocabulary", path.display()),
        }
    }

    /// The value of a metadata key that holds one number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f32>> {
        self.value(key)?.map(|text| Ok(text.parse()?)).transpose()
    }

    /// The value of a metadata key that must be there.
    pub(crate) fn text(&self, key: &str) -> Result<String> {
        self.value(key)?.ok_or_else(|| anyhow!("the metadata has no `{key}`"))
    }

    /// A short value as llama.cpp writes it.
    fn value(&self, key: &str) -> Result<Option<String>> {
        let key = CString::new(key)?;
        let mut text = [0u8; 64];
        // SAFETY: the model is open, `key` is a C string that lives through the call, and `text` has the room that is
        // passed.
        let length = unsafe {
            sys::llama_model_meta_val_str(
                self.raw.as_ptr(),
                key.as_ptr(),
                text.as_mut_ptr().cast(),
                text.len(),
            )
        };
        let Some(text) = usize::try_from(length).ok().and_then(|length| text.get(..length)) else {
            return Ok(None);
        };
        Ok(Some(std::str::from_utf8(text)?.to_owned()))
    }

    /// The vocabulary, which lives as long as the model.
    pub(crate) fn vocabulary(&self) -> *const sys::llama_vocab {
        self.vocabulary.as_ptr()
    }

    /// Number of tokens in the vocabulary.
    pub(crate) fn vocabulary_size(&self) -> usize {
        // SAFETY: the vocabulary belongs to the open model.
        unsafe { sys::llama_vocab_n_tokens(self.vocabulary.as_ptr()) }.unsigned_abs() as usize
    }

    /// Token ids of `text`; `add_special` lets the model add its BOS and EOS, `parse_special` reads the text of
    /// control tokens as those tokens.
    pub(crate) fn tokenize(&self, text: &str, add_special: bool, parse_special: bool) -> Result<Vec<Token>> {
        let length = i32::try_from(text.len())?;
        // Every token but an added BOS or EOS stands for at least one byte.
        let mut ids = vec![0; text.len() + 8];
        // SAFETY: `text` has `length` bytes and `ids` has the room that is passed.
        let count = unsafe {
            sys::llama_tokenize(
                self.vocabulary.as_ptr(),
                text.as_ptr().cast(),
                length,
                ids.as_mut_ptr(),
                i32::try_from(ids.len())?,
                add_special,
                parse_special,
            )
        };
        ids.truncate(usize::try_from(count).map_err(|_| anyhow!("llama.cpp cannot tokenise {text:?}"))?);
        Ok(ids)
    }

    /// The bytes that `ids` stand for, text of control tokens included.
    pub(crate) fn detokenize(&self, ids: &[Token]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut piece = [0u8; 512];
        for &id in ids {
            self.check(id)?;
            // SAFETY: `id` is in the vocabulary (checked above) and `piece` has the room that is passed.
            let length = unsafe {
                sys::llama_token_to_piece(
                    self.vocabulary.as_ptr(),
                    id,
                    piece.as_mut_ptr().cast(),
                    piece.len() as i32,
                    0,
                    true,
                )
            };
            bytes.extend(&piece[..usize::try_from(length).map_err(|_| anyhow!("token {id} is too long"))?]);
        }
        Ok(bytes)
    }

    /// Whether `id` ends an answer.
    pub(crate) fn is_end(&self, id: Token) -> Result<bool> {
        self.check(id)?;
        // SAFETY: `id` is in the vocabulary (checked above).
        Ok(unsafe { sys::llama_vocab_is_eog(self.vocabulary.as_ptr(), id) })
    }

    fn check(&self, id: Token) -> Result<()> {
        let inside = usize::try_from(id).is_ok_and(|id| id < self.vocabulary_size());
        ensure!(inside, "token {id} is outside the vocabulary of {}", self.vocabulary_size());
        Ok(())
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: this type owns the model, and every context that borrows it is gone.
        unsafe { sys::llama_model_free(self.raw.as_ptr()) }
    }
}

/// How a context is made.
pub(crate) struct Settings {
    /// Positions of the context, and the most tokens of one `decode`.
    pub(crate) positions: usize,
    /// Threads of prefill and decode.
    pub(crate) threads: u32,
    /// llama.cpp's own choice about flash attention; never when false.
    pub(crate) flash_attention: bool,
    /// Numbers of YaRN; llama.cpp's or the model's own where there is none.
    pub(crate) yarn: Yarn,
}

/// Numbers of YaRN, as llama.cpp's options name them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Yarn {
    pub(crate) ext_factor: Option<f32>,
    pub(crate) beta_fast: Option<f32>,
    pub(crate) beta_slow: Option<f32>,
}

/// Which positions of a batch get logits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// Every one.
    All,
    /// The last one.
    Last,
}

/// A KV cache in f16 and the scratch memory of one sequence.
pub(crate) struct Context<'model> {
    raw: NonNull<sys::llama_context>,
    model: &'model Model,
    positions: usize,
    /// Per token of the last batch: whether it has logits.
    outputs: Vec<i8>,
}

impl<'model> Context<'model> {
    /// Makes an empty context of `model`.
    pub(crate) fn open(model: &'model Model, settings: &Settings) -> Result<Self> {
        Self::open_with(model, settings, |_| ())
    }

    /// The same with options changed, but for the model's callbacks.
    fn open_with(
        model: &'model Model,
        settings: &Settings,
        change: impl FnOnce(&mut sys::llama_context_params),
    ) -> Result<Self> {
        let positions = u32::try_from(settings.positions)?;
        let threads = i32::try_from(settings.threads)?;
        // SAFETY: the function takes nothing and returns a plain struct.
        let mut options = unsafe { sys::llama_context_default_params() };
        options.n_ctx = positions;
        options.n_batch = positions;
        options.n_threads = threads;
        options.n_threads_batch = threads;
        options.type_k = sys::GGML_TYPE_F16;
        options.type_v = sys::GGML_TYPE_F16;
        // Below zero means not set.
        options.yarn_ext_factor = settings.yarn.ext_factor.unwrap_or(-1.0);
        options.yarn_beta_fast = settings.yarn.beta_fast.unwrap_or(-1.0);
        options.yarn_beta_slow = settings.yarn.beta_slow.unwrap_or(-1.0);
        options.flash_attn_type = match settings.flash_attention {
            true => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            false => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        change(&mut options);
        // SAFETY: the model is open and outlives the context by the lifetime; the options are defaults but for
        // plain numbers.
        let raw = unsafe { sys::llama_init_from_model(model.raw.as_ptr(), options) };
        let raw =
            NonNull::new(raw).ok_or_else(|| anyhow!("llama.cpp cannot make a context of {positions}"))?;
        Ok(Self { raw, model, positions: settings.positions, outputs: Vec::new() })
    }

    /// Adds adapters, each with its scale. They are freed with the model.
    pub(crate) fn adapt(&mut self, adapters: &[(std::path::PathBuf, f32)]) -> Result<()> {
        let (mut opened, mut scales) = (Vec::new(), Vec::new());
        for (path, scale) in adapters {
            let name = CString::new(path.as_os_str().as_encoded_bytes())?;
            // SAFETY: the model is open, and `name` is a C string that lives through the call.
            let adapter = unsafe { sys::llama_adapter_lora_init(self.model.raw.as_ptr(), name.as_ptr()) };
            ensure!(!adapter.is_null(), "llama.cpp cannot open the adapter {}", path.display());
            opened.push(adapter);
            scales.push(*scale);
        }
        // SAFETY: the context is open; both lists have as many values as is told, and are only read during the call. The model,
        // which outlives the context, keeps the adapters.
        let status = unsafe {
            sys::llama_set_adapters_lora(
                self.raw.as_ptr(),
                opened.as_mut_ptr(),
                opened.len(),
                scales.as_mut_ptr(),
            )
        };
        ensure!(status == 0, "llama.cpp cannot add the adapters");
        Ok(())
    }

    /// Forgets every token behind the first `position`.
    pub(crate) fn rewind(&mut self, position: usize) -> Result<()> {
        let from = i32::try_from(position)?;
        // SAFETY: the context is open; the memory handle belongs to it, and below zero means up to the end.
        let done = unsafe { sys::llama_memory_seq_rm(sys::llama_get_memory(self.raw.as_ptr()), 0, from, -1) };
        ensure!(done, "llama.cpp cannot go back to position {position}");
        Ok(())
    }

    /// Runs `tokens` after what is already in the cache.
    pub(crate) fn decode(&mut self, tokens: &[Token], outputs: Outputs) -> Result<()> {
        ensure!(!tokens.is_empty() && tokens.len() <= self.positions, "{} tokens in one batch", tokens.len());
        tokens.iter().try_for_each(|&id| self.model.check(id))?;
        self.outputs.clear();
        self.outputs.resize(tokens.len(), i8::from(outputs == Outputs::All));
        self.outputs[tokens.len() - 1] = 1;
        let batch = sys::llama_batch {
            n_tokens: i32::try_from(tokens.len())?,
            token: tokens.as_ptr().cast_mut(),
            embd: std::ptr::null_mut(),
            pos: std::ptr::null_mut(),
            n_seq_id: std::ptr::null_mut(),
            seq_id: std::ptr::null_mut(),
            logits: self.outputs.as_mut_ptr(),
        };
        // SAFETY: both arrays have `n_tokens` elements and live through the call, which does not write to them; null
        // positions and sequences mean "the next ones of sequence 0".
        match unsafe { sys::llama_decode(self.raw.as_ptr(), batch) } {
            0 => Ok(()),
            1 => bail!("the context of {} positions is full", self.positions),
            status => bail!("llama_decode failed with status {status}"),
        }
    }

    /// The logits, one per token of the vocabulary, of the token at `index` of the last batch.
    pub(crate) fn logits(&mut self, index: usize) -> Result<&[f32]> {
        ensure!(self.outputs.get(index) == Some(&1), "no logits were asked for at {index}");
        // SAFETY: the last batch has an output at `index` (checked above).
        let row = unsafe { sys::llama_get_logits_ith(self.raw.as_ptr(), i32::try_from(index)?) };
        ensure!(!row.is_null(), "llama.cpp has no logits at {index}");
        // SAFETY: a row holds one f32 per vocabulary token and stays valid until the next call that takes `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(row, self.model.vocabulary_size()) })
    }

    /// The logits of the last token of the last batch.
    pub(crate) fn last_logits(&mut self) -> Result<&[f32]> {
        let last = self.outputs.len().checked_sub(1);
        self.logits(last.ok_or_else(|| anyhow!("nothing was decoded yet"))?)
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: this type owns the context, and its model is still open by the lifetime.
        unsafe { sys::llama_free(self.raw.as_ptr()) }
    }
}

/// What makes vectors of texts, each a sequence of one batch.
pub(crate) struct Embedder<'model> {
    context: Context<'model>,
    /// Values of a pooled vector.
    pooled: usize,
}

impl<'model> Embedder<'model> {
    /// Makes a context that pools by ggml's number `pooling`, for batches of up to `sequences` texts.
    pub(crate) fn open(
        model: &'model Model,
        settings: &Settings,
        pooling: i32,
        sequences: usize,
    ) -> Result<Self> {
        let sequences = u32::try_from(sequences)?;
        let context = Context::open_with(model, settings, |options| {
            options.embeddings = true;
            options.pooling_type = pooling;
            options.n_ubatch = options.n_batch;
            options.n_seq_max = sequences;
            options.kv_unified = true;
        })?;
        // SAFETY: the model is open.
        let (labels, dim) = unsafe {
            (sys::llama_model_n_cls_out(model.raw.as_ptr()), sys::llama_model_n_embd(model.raw.as_ptr()))
        };
        let pooled = match pooling == sys::LLAMA_POOLING_TYPE_RANK {
            true => labels as usize,
            false => usize::try_from(dim)?,
        };
        Ok(Self { context, pooled })
    }

    /// Reads texts, each by itself.
    pub(crate) fn read(&mut self, texts: &[&[Token]]) -> Result<()> {
        let context = &mut self.context;
        let count: usize = texts.iter().map(|text| text.len()).sum();
        ensure!(count > 0 && count <= context.positions, "{count} tokens in one batch");
        texts.iter().copied().flatten().try_for_each(|&id| context.model.check(id))?;
        let mut tokens: Vec<Token> = texts.concat();
        let mut positions: Vec<i32> = texts.iter().flat_map(|text| 0..text.len() as i32).collect();
        let mut ids: Vec<i32> = (0..texts.len() as i32).collect();
        let mut sequences: Vec<*mut i32> = Vec::new();
        for (text, id) in texts.iter().zip(&mut ids) {
            let id: *mut i32 = id;
            sequences.resize(sequences.len() + text.len(), id);
        }
        let mut counts = vec![1; count];
        context.outputs.clear();
        context.outputs.resize(count, 1);
        let batch = sys::llama_batch {
            n_tokens: i32::try_from(count)?,
            token: tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: sequences.as_mut_ptr(),
            logits: context.outputs.as_mut_ptr(),
        };
        // SAFETY: the context is open; the memory handle, which an encoder does not have, belongs to it.
        unsafe {
            let memory = sys::llama_get_memory(context.raw.as_ptr());
            if !memory.is_null() {
                sys::llama_memory_clear(memory, true);
            }
        }
        // SAFETY: all arrays have `n_tokens` elements, each list of sequences one, and all of them live through the call.
        let status = unsafe { sys::llama_decode(context.raw.as_ptr(), batch) };
        ensure!(status == 0, "llama_decode failed with status {status}");
        Ok(())
    }

    /// The vector of a text of the last batch.
    pub(crate) fn text(&mut self, text: usize) -> Result<&[f32]> {
        // SAFETY: the context is open; of a sequence that the last batch did not have, the function says null.
        let row = unsafe { sys::llama_get_embeddings_seq(self.context.raw.as_ptr(), i32::try_from(text)?) };
        ensure!(!row.is_null(), "llama.cpp has no vector of text {text}");
        // SAFETY: a row has this length and stays valid until the next call that takes `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(row, self.pooled) })
    }

    /// The vector of a token of the last batch, without pooling.
    pub(crate) fn token(&mut self, index: usize) -> Result<&[f32]> {
        // SAFETY: the context is open; of a token that the last batch did not have, the function says null.
        let row = unsafe { sys::llama_get_embeddings_ith(self.context.raw.as_ptr(), i32::try_from(index)?) };
        ensure!(!row.is_null(), "llama.cpp has no vector of token {index}");
        // SAFETY: a row has this length and stays valid until the next call that takes `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(row, self.pooled) })
    }
}

/// Writes the model of `from` into `to` with every weight as the f32 that ggml makes of it.
pub(crate) fn dequantize(from: &Path, to: &Path) -> Result<()> {
    start();
    let [from_name, to_name] = [from, to].map(|path| CString::new(path.as_os_str().as_encoded_bytes()));
    let (from_name, to_name) = (from_name?, to_name?);
    // SAFETY: the function takes nothing and returns a plain struct.
    let mut options = unsafe { sys::llama_model_quantize_default_params() };
    options.ftype = sys::LLAMA_FTYPE_ALL_F32;
    options.allow_requantize = true;
    // SAFETY: both names are C strings that live through the call, and the options are llama.cpp's own defaults but for
    // plain numbers.
    let failed = unsafe { sys::llama_model_quantize(from_name.as_ptr(), to_name.as_ptr(), &options) };
    ensure!(failed == 0, "llama.cpp cannot write {} as {}", from.display(), to.display());
    Ok(())
}

/// Version of ggml.
pub(crate) fn version() -> String {
    // SAFETY: the function returns a static C string.
    unsafe { CStr::from_ptr(sys::ggml_version()) }.to_string_lossy().into_owned()
}

/// Starts llama.cpp's backends once, with its log reduced to errors.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // SAFETY: the callback is a plain function, valid for the whole program, that ignores the user data.
        unsafe {
            sys::llama_log_set(Some(log), std::ptr::null_mut());
            sys::llama_backend_init();
        }
    });
}

unsafe extern "C" fn log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if level == sys::GGML_LOG_LEVEL_ERROR && !text.is_null() {
        // SAFETY: llama.cpp passes a C string that lives through the call.
        eprint!("{}", unsafe { CStr::from_ptr(text) }.to_string_lossy());
    }
}

/// llama.cpp's line about itself: the instruction sets and libraries that its CPU backend was built with.
pub(crate) fn system_info() -> String {
    start();
    // SAFETY: the function returns a static C string.
    unsafe { CStr::from_ptr(sys::llama_print_system_info()) }.to_string_lossy().into_owned()
}
