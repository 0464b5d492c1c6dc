//! Floor 8. Sessions: the tokens of one conversation, and what the model makes of them.

use core::ffi::c_void;
use core::ptr::NonNull;

use bantam::{Buffer, Generator, KvFormat, Plan, Session, SessionOptions};

use crate::boundary::{Caller, call, call_back};
use crate::cancel::bantam_cancel;
use crate::clock::Moment;
use crate::handle::{Noun, create_at};
use crate::model::{Log, bantam_model};
use crate::options::{Struct, flag, or_default};
use crate::pool::bantam_pool;
use crate::status::{BANTAM_ARGUMENT, BANTAM_MEMORY, Failure, Result, bantam_error, bantam_status, fail};

/// The tokens of one conversation, their keys and values, and the answer in progress. One thread at a time may use it; a second one
/// gets BANTAM_BUSY.
pub struct bantam_session(());

impl Noun for bantam_session {
    const MAGIC: u32 = u32::from_le_bytes(*b"bses");
    const NAME: &'static str = "the session";
    type Inside = OpenSession;
}

/// What is behind a session's handle. The fields are dropped in their order.
pub(crate) struct OpenSession {
    /// Of the answer in progress, or the last one.
    pub(crate) generator: Option<Generator>,
    pub(crate) session: Session,
    /// What it lies in.
    _memory: Option<LentMemory>,
    pub(crate) log: Log,
    pub(crate) times: Times,
}

/// What the last prompt and the answer behind it took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) prompt_tokens: u64,
    pub(crate) prompt_us: u64,
    pub(crate) answer_us: u64,
    pub(crate) major_faults: u64,
    pub(crate) drafted: u64,
    pub(crate) accepted: u64,
}

impl OpenSession {
    /// One whose memory is the library's.
    pub(crate) fn on_heap(session: Session, log: Log) -> OpenSession {
        OpenSession { generator: None, session, _memory: None, log, times: Times::default() }
    }

    /// The session, with its memory back if that was given away.
    pub(crate) fn awake(&mut self) -> Result<&mut Session> {
        #[cfg(feature = "std")]
        self.session.recall()?;
        Ok(&mut self.session)
    }

    /// Reads tokens, and keeps account of it.
    pub(crate) fn timed(
        &mut self,
        read: impl FnOnce(&mut Session) -> bantam::Result<usize>,
    ) -> (usize, Result<()>) {
        let session = match self.awake() {
            Ok(session) => session,
            Err(failure) => return (0, Err(failure)),
        };
        let (began, faults, before) = (Moment::now(), crate::clock::major_faults(), session.position());
        let result = read(session);
        // A call that was cancelled has read what the session holds more.
        let tokens = match &result {
            Ok(tokens) => *tokens,
            Err(_) => session.position().saturating_sub(before),
        };
        self.times = Times {
            prompt_tokens: tokens as u64,
            prompt_us: began.elapsed_us(),
            major_faults: crate::clock::major_faults().saturating_sub(faults),
            ..Times::default()
        };
        (tokens, result.map(|_| ()).map_err(Failure::from))
    }
}

/// Keys and values are kept as halves.
pub const BANTAM_KV_F16: i32 = 0;
/// Keys and values are kept in blocks of 8 bits: about half the memory.
pub const BANTAM_KV_Q8_0: i32 = 1;
/// Keys and values are kept in blocks of 4 bits: about a quarter of the memory.
pub const BANTAM_KV_Q4_0: i32 = 2;

/// Gives `bytes` of memory that start at a multiple of `alignment`, or NULL.
pub type bantam_allocate =
    Option<unsafe extern "C" fn(user: *mut c_void, bytes: usize, alignment: usize) -> *mut c_void>;

/// Takes memory back that bantam_allocate gave.
pub type bantam_deallocate =
    Option<unsafe extern "C" fn(user: *mut c_void, memory: *mut c_void, bytes: usize)>;

/// How to open a session. Zeros mean defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_session_options {
    /// sizeof(bantam_session_options)
    pub struct_size: usize,
    /// Positions of the cache: the most tokens of prompt and answer together; 0 is 4096, or less for a model that was trained for less.
    pub context: usize,
    /// Tokens that are read at once; 0 is 256, or less for a wide model.
    pub batch: usize,
    /// The most sessions that bantam_session_decode_together reads at once with this one as the first; 0 is 1.
    pub together_max: usize,
    /// The most tokens that are guessed and verified at once while answering, up to 15; 0 guesses none, as do models whose layers carry a state.
    pub draft_max: usize,
    /// How keys and values are kept: BANTAM_KV_...
    pub kv_format: i32,
    /// 1 makes what is computed for a token the same to the last bit however the tokens before it came, at up to half the speed of prompts.
    pub exact: i32,
    /// Threads of the session's own pool; 0 is bantam_threads_default(). Without meaning beside `pool`.
    pub threads: usize,
    /// The threads that it works with; NULL makes a pool of its own.
    pub pool: *const bantam_pool,
    /// Stops it; NULL is none.
    pub cancel: *const bantam_cancel,
    /// Memory for the session, which it uses until it is freed; NULL takes it from `allocate`.
    pub memory: *mut c_void,
    /// How many bytes are there: at least `total_bytes` of its plan, or opening is BANTAM_MEMORY.
    pub memory_bytes: usize,
    /// Gives the session's memory, once, at open; NULL takes it from the heap.
    pub allocate: bantam_allocate,
    /// Takes it back, when the session is freed or opening fails; NULL if nobody has to.
    pub deallocate: bantam_deallocate,
    /// Handed to both.
    pub allocator_user: *mut c_void,
    /// Room for adapters: the most that the ranks of those set at once sum up to; 0 is none. See bantam_session_set_adapters.
    pub adapter_rank: usize,
    /// How many tokens the session can go back without reading any again, if the model has sliding windows; at least a batch. See
    /// bantam_session_rewind.
    pub rewind_max: usize,
}

// SAFETY: repr(C), a usize first, and integers and pointers, null or not, of any bytes.
unsafe impl Struct for bantam_session_options {
    const NAME: &'static str = "bantam_session_options";
}

/// What a session will take, known before it is opened.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_plan {
    /// sizeof(bantam_plan), set by the caller.
    pub struct_size: usize,
    /// Positions of the cache.
    pub context: usize,
    /// Bytes of keys and values, and of the states of layers that carry one.
    pub kv_bytes: usize,
    /// Bytes of everything else.
    pub scratch_bytes: usize,
    /// Both.
    pub total_bytes: usize,
    /// Where memory of the caller's has to begin: at a multiple of so many bytes.
    pub alignment: usize,
}

// SAFETY: repr(C), and integers of any bytes.
unsafe impl Struct for bantam_plan {
    const NAME: &'static str = "bantam_plan";
}

impl From<Plan> for bantam_plan {
    fn from(plan: Plan) -> bantam_plan {
        bantam_plan {
            struct_size: 0,
            context: plan.context,
            kv_bytes: plan.kv_bytes,
            scratch_bytes: plan.scratch_bytes,
            total_bytes: plan.total_bytes(),
            alignment: Buffer::ALIGN,
        }
    }
}

/// The options of the runtime that those of the caller mean.
fn read_options(options: &bantam_session_options) -> Result<SessionOptions> {
    let kv_format = match options.kv_format {
        BANTAM_KV_F16 => KvFormat::F16,
        BANTAM_KV_Q8_0 => KvFormat::Q8_0,
        BANTAM_KV_Q4_0 => KvFormat::Q4_0,
        other => return Err(fail!(BANTAM_ARGUMENT, "there is no cache format {other}; they are 0 to 2")),
    };
    Ok(SessionOptions {
        context: or_default(options.context),
        batch: or_default(options.batch),
        kv_format,
        draft_max: options.draft_max,
        together_max: options.together_max,
        adapter_rank: options.adapter_rank,
        rewind_max: options.rewind_max,
        exact: flag(options.exact, "exact of bantam_session_options")?,
        ..SessionOptions::default()
    })
}

/// Says how much memory a session of these options takes, to the byte. Nothing of it is taken, so a plan may be of more than there is.
///
/// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_MEMORY if it would be more than
/// addresses reach, BANTAM_UNSUPPORTED for a model that writes no text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_plan(
    model: *const bantam_model,
    options: *const bantam_session_options,
    plan: *mut bantam_plan,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let options = caller.options(options)?;
        let threads = caller.threads(options.pool, options.threads)?;
        let found = Session::plan(&caller.mapped(model)?.model, &read_options(&options)?, threads)?;
        caller.fill(plan, &found.into())
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens a session. All of its memory is had now; reading tokens and pulling the pieces of an answer allocate nothing but what a grammar takes.
///
/// Beside what the plan says, it takes some kilobytes from the heap, and so does each answer when it begins.
///
/// Ownership: the caller frees it with bantam_session_free. It keeps what it needs of model, pool and cancel object; `memory` stays the
/// caller's, and in the session's use until it is freed.
/// Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY, BANTAM_CHANGED, BANTAM_UNSUPPORTED for a model that writes no text,
/// and BANTAM_IO if the system starts no more threads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_open(
    model: *const bantam_model,
    options: *const bantam_session_options,
    out: *mut *mut bantam_session,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.out(out, "out")?;
        let options = caller.options(options)?;
        let model = caller.mapped(model)?;
        let pool = caller.pool(options.pool, options.threads)?;
        let cancel = caller.cancel(options.cancel)?;
        let session_options = read_options(&options)?;
        let bytes = Session::plan(&model.model, &session_options, pool.capacity())?.total_bytes();
        let memory = LentMemory::take(&options, bytes)?;
        let mut session = match &memory {
            Some(memory) => Session::open_in(&model.model, pool, &session_options, memory.buffer())?,
            None => Session::open(&model.model, pool, &session_options)?,
        };
        if let Some(cancel) = cancel {
            session.set_cancel(cancel);
        }
        model.log.line(format_args!(
            "session opened: context of {}, {bytes} bytes, {} threads",
            session.context(),
            session.threads()
        ));
        let (log, times) = (model.log, Times::default());
        create_at(out, OpenSession { generator: None, session, _memory: memory, log, times })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Memory of the caller's.
struct LentMemory {
    start: NonNull<u8>,
    bytes: usize,
    deallocate: bantam_deallocate,
    user: *mut c_void,
}

// SAFETY: the caller promised that the memory is the session's alone, and that it can be given back on any thread.
unsafe impl Send for LentMemory {}

impl LentMemory {
    /// The memory that the options name, of at least `bytes`; `None` is the heap's.
    fn take(options: &bantam_session_options, bytes: usize) -> Result<Option<LentMemory>> {
        if let Some(start) = NonNull::new(options.memory.cast::<u8>()) {
            if options.memory_bytes < bytes {
                let there = options.memory_bytes;
                return Err(fail!(
                    BANTAM_MEMORY,
                    "the session takes {bytes} bytes, and `memory` has {there}"
                )
                .with_detail(bytes));
            }
            return Ok(Some(LentMemory { start, bytes, deallocate: None, user: core::ptr::null_mut() }));
        }
        let Some(allocate) = options.allocate else { return Ok(None) };
        let user = options.allocator_user;
        // SAFETY: the caller's function, called as the header says.
        let start = call_back(|| unsafe { allocate(user, bytes, Buffer::ALIGN) });
        let refused = || fail!(BANTAM_MEMORY, "the allocator gave no {bytes} bytes").with_detail(bytes);
        let start = NonNull::new(start.cast()).ok_or_else(refused)?;
        Ok(Some(LentMemory { start, bytes, deallocate: options.deallocate, user }))
    }

    fn buffer(&self) -> Buffer {
        // SAFETY: the caller promised that so many bytes are there, and the session's alone until it is freed; it is dropped
        // before this.
        unsafe { Buffer::new(self.start, self.bytes) }
    }
}

impl Drop for LentMemory {
    fn drop(&mut self) {
        if let Some(deallocate) = self.deallocate {
            // SAFETY: the caller's function, called as the header says.
            call_back(|| unsafe { deallocate(self.user, self.start.as_ptr().cast(), self.bytes) });
        }
    }
}

/// How a session stands.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_session_info {
    /// sizeof(bantam_session_info), set by the caller.
    pub struct_size: usize,
    /// Tokens that it holds.
    pub position: usize,
    /// Tokens that it can hold.
    pub context: usize,
    /// Tokens that it reads at once.
    pub batch: usize,
    /// Threads that it works with.
    pub threads: usize,
    /// Bytes of keys and values, and of the states of layers that carry one.
    pub kv_bytes: usize,
    /// Bytes of everything else.
    pub scratch_bytes: usize,
    /// Bytes that it takes when it is saved.
    pub saved_bytes: usize,
    /// 1 if there are logits behind the last token.
    pub has_logits: i32,
    /// 1 if its memory was given back: see bantam_session_trim.
    pub is_trimmed: i32,
}

// SAFETY: repr(C), and integers of any bytes.
unsafe impl Struct for bantam_session_info {
    const NAME: &'static str = "bantam_session_info";
}

/// Says how a session stands.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_get_info(
    session: *mut bantam_session,
    info: *mut bantam_session_info,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(session, |OpenSession { session, .. }| {
            let memory = session.memory();
            let value = bantam_session_info {
                struct_size: 0,
                position: session.position(),
                context: session.context(),
                batch: session.batch(),
                threads: session.threads(),
                kv_bytes: memory.kv_bytes,
                scratch_bytes: memory.scratch_bytes,
                saved_bytes: session.saved_bytes(),
                has_logits: i32::from(session.has_logits()),
                is_trimmed: i32::from(session.is_spilled()),
            };
            caller.fill(info, &value)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Lets `cancel` stop the session from here on; NULL lets nothing.
///
/// Ownership: the session keeps what it needs of it. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_set_cancel(
    session: *mut bantam_session,
    cancel: *const bantam_cancel,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let cancel = caller.cancel_or_new(cancel)?;
        caller.exclusive(session, |open| {
            open.session.set_cancel(cancel);
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Lets the session's pool use so many threads from the next loop on. Nothing that is computed changes.
///
/// Ownership: none taken. Threads: one at a time; bantam_pool_set_threads may be called at any time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT for none or more than the pool was made with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_set_threads(
    session: *mut bantam_session,
    threads: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body =
        |caller: Caller| caller.exclusive(session, |open| Ok(open.session.pool().set_threads(threads)?));
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Changes the priority of the threads of the session's pool: BANTAM_PRIORITY_...
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_BUSY, and as bantam_pool_set_priority.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_set_priority(
    session: *mut bantam_session,
    priority: i32,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(session, |open| crate::pool::set_priority(open.session.pool(), priority))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Frees a session; NULL is none.
///
/// Ownership: ends; `memory` of its options is the caller's again. Threads: any, while nobody else uses it.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY if another call uses it, also one that this one comes from inside of: it is not freed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_free(session: *mut bantam_session) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(session)) }
}
