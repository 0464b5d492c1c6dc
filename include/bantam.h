// Bantam runs 4-bit GGUF language models inside an app. This is all of its C interface.
//
//     bantam_error e;
//     bantam_model *model;
//     bantam_session *session;
//     if (bantam_model_open("model.gguf", BANTAM_NUL_TERMINATED, NULL, &model, &e)) return fail(&e);
//     if (bantam_session_open(model, NULL, &session, &e)) return fail(&e);
//     if (bantam_session_prompt_text(session, "The capital of France is", BANTAM_NUL_TERMINATED, 0, NULL, &e)) return fail(&e);
//     if (bantam_session_begin(session, NULL, &e)) return fail(&e);
//     bantam_piece piece = {.struct_size = sizeof piece};
//     do {
//         if (bantam_session_next(session, &piece, &e)) return fail(&e);
//         fwrite(piece.text, 1, piece.text_bytes, stdout);
//     } while (piece.stop_reason == BANTAM_STOP_NONE);
//     bantam_session_free(session);
//     bantam_model_free(model);
//
// Rules that hold for every function:
//
// - It returns BANTAM_OK, or a status that says what to do. Its last parameter takes the details: the caller's own bantam_error, or NULL. What it
//   hands out is written if it succeeds, and left alone if it fails. Its `Errors:` are all that it can return, beside BANTAM_PANIC, BANTAM_BUSY inside
//   of a function of the caller's, and what bantam_session_trim says of sessions whose memory was given back.
// - Objects are handles. Whoever made one frees it; to free NULL does nothing. Handles that are NULL, of another kind, or freed (as long as
//   their memory is there) are BANTAM_HANDLE.
// - Texts are a pointer and a number of bytes of UTF-8. Where a function asks for the number, BANTAM_NUL_TERMINATED stands for all up to the first 0; in
//   structs 0 does.
// - Structs begin with `struct_size`, which the caller sets to sizeof. Fields that are 0 mean the default. A struct of a newer header may be handed to an
//   older library as long as what that does not know is 0; otherwise it is BANTAM_STRUCT. What a library does not fill it leaves as it was. Structs
//   without `struct_size`, of which lists are made, and bantam_error never change.
// - Models, adapters, pools, grammars and cancel objects may be used by several threads at once; sessions, embedders, samplers and chats by one at a
//   time, and a second one gets BANTAM_BUSY.
// - Functions of the caller's are called on the thread that called the library (an executor's tasks run where the caller wants). Inside of them a cancel
//   object may be set, reset and looked at; any other call that returns a status returns BANTAM_BUSY. And they must return: no exception and no
//   longjmp may leave them.
// - A bug in the library does not end the process. The call returns BANTAM_PANIC, and so does every later one with the same handle but free.
// - Nothing is written to standard output or error, and no socket is opened.


#ifndef BANTAM_H
#define BANTAM_H

#include <stddef.h>
#include <stdint.h>

// The number of bytes of a text that ends with a 0.
#define BANTAM_NUL_TERMINATED SIZE_MAX

// Bytes of a message, the 0 at its end included.
#define BANTAM_MESSAGE_BYTES 240



// The version of the functions and structs of this header. Compare it with bantam_abi_version() when the library is loaded: before
// version 1.0 of the library they have to be equal, from then on the library's must not be lower.
#define BANTAM_ABI_VERSION 1

// Chat templates can be rendered: see bantam_chat_new. A library without this has no function bantam_chat_...
#define BANTAM_FEATURE_CHAT 1

// Answers can be held to a grammar: see bantam_grammar_new. A library without this has no function bantam_grammar_..., and no bantam_chat_grammar.
#define BANTAM_FEATURE_CONSTRAIN 2

// There are files and threads: what needs them is BANTAM_UNSUPPORTED in a library without this.
#define BANTAM_FEATURE_STD 4

// After everything else: for what nobody waits for.
#define BANTAM_PRIORITY_LOW -1

// As other threads: what threads have at first.
#define BANTAM_PRIORITY_NORMAL 0

// Before other threads.
#define BANTAM_PRIORITY_MEDIUM 1

// Long before other threads.
#define BANTAM_PRIORITY_HIGH 2

// A whole number: in `integer`.
#define BANTAM_VALUE_INTEGER 1

// A number that need not be whole: in `number`.
#define BANTAM_VALUE_NUMBER 2

// A yes or no: 1 or 0 in `integer`.
#define BANTAM_VALUE_BOOL 3

// Text: in `text`, not always UTF-8.
#define BANTAM_VALUE_TEXT 4

// A list of `count` values: see bantam_model_metadata_element.
#define BANTAM_VALUE_ARRAY 5

// Tokenising adds the tokens that begin and end a text, where the model wants them.
#define BANTAM_TEXT_ADD_SPECIAL 1

// Tokenising takes the texts of control tokens, such as `<|im_start|>`, for those tokens. Never do so for text from strangers: they
// could end the turn and speak for someone else.
#define BANTAM_TEXT_PARSE_SPECIAL 2

// Detokenising shows control tokens as their text, instead of leaving them out.
#define BANTAM_TEXT_SHOW_SPECIAL 4

// Repetition, presence and frequency penalties.
#define BANTAM_STAGE_PENALTIES 1

// DRY.
#define BANTAM_STAGE_DRY 2

// Top-n-sigma.
#define BANTAM_STAGE_TOP_N_SIGMA 3

// Top-k.
#define BANTAM_STAGE_TOP_K 4

// Locally typical sampling.
#define BANTAM_STAGE_TYPICAL_P 5

// Top-p.
#define BANTAM_STAGE_TOP_P 6

// Min-p.
#define BANTAM_STAGE_MIN_P 7

// XTC.
#define BANTAM_STAGE_XTC 8

// Temperature.
#define BANTAM_STAGE_TEMPERATURE 9

// Keys and values are kept as halves.
#define BANTAM_KV_F16 0

// Keys and values are kept in blocks of 8 bits: about half the memory.
#define BANTAM_KV_Q8_0 1

// Keys and values are kept in blocks of 4 bits: about a quarter of the memory.
#define BANTAM_KV_Q4_0 2

// The most sessions that bantam_session_decode_together takes.
#define BANTAM_TOGETHER_MAX 64

// Gives back the memory of what is computed anew for each call. Nothing has to be done to take it again.
#define BANTAM_TRIM_SCRATCH 1

// Also writes keys, values and logits to a file, and gives their memory back. The next call that needs them reads them again, and removes the
// file, or says why that cannot be.
#define BANTAM_TRIM_ALL 2

// The answer goes on.
#define BANTAM_STOP_NONE 0

// The model ended it. The token that did is no part of the text.
#define BANTAM_STOP_END 1

// One of the stop tokens came: its number among them is `stop_index`. It is no part of the text.
#define BANTAM_STOP_TOKEN 2

// One of the stop strings came: its number is `stop_index`. It is no part of the text.
#define BANTAM_STOP_STRING 3

// As many tokens came as were asked for; the last of them is shown.
#define BANTAM_STOP_BUDGET 4

// What the grammar describes is complete, and nothing may follow.
#define BANTAM_STOP_COMPLETE 5

// The context is full.
#define BANTAM_STOP_CONTEXT_FULL 6

// The cancel object was set, or the function that takes the pieces did not return 0.
#define BANTAM_STOP_CANCELLED 7

// The most adapters that a session has at once.
#define BANTAM_ADAPTERS_MAX 8

// What the model's file says.
#define BANTAM_POOLING_DEFAULT 0

// Every token has a vector of its own.
#define BANTAM_POOLING_NONE 1

// A text's vector is the mean of those of its tokens.
#define BANTAM_POOLING_MEAN 2

// It is that of the first token.
#define BANTAM_POOLING_CLS 3

// It is that of the last token.
#define BANTAM_POOLING_LAST 4

// The model's head scores the text: how well a document answers a query.
#define BANTAM_POOLING_RANK 5

// Cuts texts that are too long off, and keeps the special token that ends them, instead of BANTAM_CONTEXT_FULL.
#define BANTAM_EMBED_TRUNCATE 1

// Any JSON value; the source is not looked at.
#define BANTAM_GRAMMAR_JSON 1

// JSON that a JSON schema accepts.
#define BANTAM_GRAMMAR_JSON_SCHEMA 2

// Text that a regular expression matches from its beginning to its end.
#define BANTAM_GRAMMAR_REGEX 3

// A grammar in the language of Lark.
#define BANTAM_GRAMMAR_LARK 4

// A grammar in llama.cpp's GBNF.
#define BANTAM_GRAMMAR_GBNF 5

// Who set the conversation up: how to answer.
#define BANTAM_ROLE_SYSTEM 1

// Who asks.
#define BANTAM_ROLE_USER 2

// The model.
#define BANTAM_ROLE_ASSISTANT 3

// What the model called.
#define BANTAM_ROLE_TOOL 4

// An open adapter of a model. Any number of threads and sessions may use it at once.
typedef struct bantam_adapter bantam_adapter;

// A switch that stops work. Once set it stays set until it is reset, so one that is set just before the work begins is not lost.
typedef struct bantam_cancel bantam_cancel;

// The messages of a conversation, and how a model wants them to be written down.
typedef struct bantam_chat bantam_chat;

// What makes vectors of texts. One thread at a time may use it; a second one gets BANTAM_BUSY.
typedef struct bantam_embedder bantam_embedder;

// What answers may look like, compiled for the vocabulary of one model. Any number of answers may follow it.
typedef struct bantam_grammar bantam_grammar;

// An open model. Any number of threads and sessions may use it at once.
typedef struct bantam_model bantam_model;

// Threads that sessions work with. Sessions of one pool take turns.
typedef struct bantam_pool bantam_pool;

// A sampler: its settings, and its random numbers.
typedef struct bantam_sampler bantam_sampler;

// The tokens of one conversation, their keys and values, and the answer in progress. One thread at a time may use it; a second one
// gets BANTAM_BUSY.
typedef struct bantam_session bantam_session;

// A task of an executor: see bantam_executor.
typedef struct bantam_task bantam_task;

// What a call says of itself: 0 if it did what it was asked to, else one of the numbers below.
typedef int32_t bantam_status;

// What went wrong, in words. It is the caller's: put one on the stack, and hand its address to any call, or NULL.
//
// It is written by calls that fail, and left alone by those that succeed.
typedef struct bantam_error {
  // What the call returned.
  bantam_status status;
  // 0.
  int32_t reserved;
  // A number that belongs to the status, such as an offset or a count of bytes; 0 if there is none.
  int64_t detail;
  // What was wrong, where, and what to do: UTF-8 that ends with a 0, and never holds text of a prompt or an answer.
  char message[BANTAM_MESSAGE_BYTES];
} bantam_error;

// Runs tasks on threads of the caller's own. It is called with `count` tasks that are all the same, hundreds of times per token, on
// the thread that called the library; it hands them to its threads and returns. Each of the `count` has to be run exactly once, with
// bantam_task_run, on any thread; late does no harm, as a task that comes late has nothing left to do.
//
// Inside of it nothing of the library may be called but bantam_task_run and cancel objects.
typedef void (*bantam_executor)(void *user, struct bantam_task *task, size_t count);

// Called between pieces of work.
typedef void (*bantam_poll)(void *user);

// How to make a pool. Zeros mean defaults.
typedef struct bantam_pool_options {
  // sizeof(bantam_pool_options)
  size_t struct_size;
  // Threads in all, the calling one included; 0 is bantam_threads_default().
  size_t threads;
  // Lends threads, so that the library starts none; NULL starts threads.
  bantam_executor executor;
  // Handed to the executor. It and the executor have to stay usable from any thread until the last task has run.
  void *executor_user;
  // Called between pieces of work, milliseconds apart, on the thread that called the library: to feed a watchdog, or to set a cancel object. NULL
  // is none. Nothing but cancel objects may be used inside of it.
  bantam_poll poll;
  // Handed to it. Both have to stay usable until the pool and its sessions are freed.
  void *poll_user;
} bantam_pool_options;

// Takes a line of the log: UTF-8 without a 0 at its end, never with text of prompts or answers. It is called on the thread that called
// the library, and may call nothing of it but cancel objects.
typedef void (*bantam_log)(void *user, const char *message, size_t bytes);

// Told that the bytes of a model or of an adapter are not used any more, once.
typedef void (*bantam_release)(void *user);

// Told how far something is; returns 0 to go on, anything else to cancel it. It is called on the thread that called the library, and may
// call nothing of it but cancel objects.
typedef int32_t (*bantam_progress)(void *user, uint64_t done, uint64_t all);

// How to open a model. Zeros mean defaults.
typedef struct bantam_model_options {
  // sizeof(bantam_model_options)
  size_t struct_size;
  // The backend by name, "avx2"; NULL is that of the environment variable BANTAM_BACKEND, or else the best of this CPU.
  const char *backend;
  // Bytes of the name; 0 if it ends with a 0.
  size_t backend_bytes;
  // Stops the opening; NULL is none.
  const struct bantam_cancel *cancel;
  // Takes the log of the model and of what is opened on it; NULL is silence. It has to stay usable until all of that is freed.
  bantam_log log;
  // Handed to it.
  void *log_user;
  // For bantam_model_open_memory: called when the last user of the bytes is gone, on whatever thread that is. NULL if nobody cares.
  bantam_release release;
  // Handed to it.
  void *release_user;
  // 1 reads the whole model and keeps it in memory (mlock), or fails if the system refuses.
  int32_t lock;
  // 0.
  int32_t reserved;
  // Told how many bytes of the model are ready: none, then all; with `lock`, which has to read them, also what is between. NULL if nobody
  // cares.
  bantam_progress progress;
  // Handed to it.
  void *progress_user;
} bantam_model_options;

// A part of a model in several files: a path, or a descriptor.
typedef struct bantam_part {
  // The path; NULL takes the descriptor.
  const char *path;
  // Bytes of it; 0 if it ends with a 0.
  size_t path_bytes;
  // Where the part begins in its file.
  uint64_t offset;
  // How many bytes it has; 0 is up to the file's end.
  uint64_t length;
  // An open file, which is borrowed, and may be closed when the call has returned.
  int32_t fd;
  // 0.
  int32_t reserved;
} bantam_part;

// What a model is.
typedef struct bantam_model_info {
  // sizeof(bantam_model_info), set by the caller.
  size_t struct_size;
  // The architecture, UTF-8 without a 0 at its end; the text is the model's.
  const char *architecture;
  // Bytes of it.
  size_t architecture_bytes;
  // The name of the backend that runs it, with a 0 at its end.
  const char *backend;
  // Bytes of the file, or of the part of it, or of the memory; of a model in several files, of all of them.
  uint64_t file_bytes;
  // Bytes that one token reads.
  uint64_t bytes_per_token;
  // Multiply-adds of one token with the weights.
  uint64_t macs_per_token;
  // Tells this model's file from another's: the same for every opening of the same bytes.
  uint64_t fingerprint;
  // Number of tokens.
  size_t vocab_size;
  // The context that it was trained for, in tokens.
  size_t context_length;
  // Number of layers.
  size_t layers;
  // Width of the residual stream.
  size_t dim;
  // Width of the feed-forward hidden layer.
  size_t ffn;
  // Query heads.
  size_t heads;
  // Key and value heads.
  size_t kv_heads;
  // Width of a head.
  size_t head_dim;
  // The token that begins a text, or -1.
  int32_t bos;
  // The token that ends one, or -1.
  int32_t eos;
  // 1 if it has a chat template.
  int32_t has_chat_template;
  // 1 if its weights are pages of a file, which the system can drop and read again; 0 if they are memory.
  int32_t is_file_backed;
} bantam_model_info;

// A value of the metadata.
typedef struct bantam_value {
  // sizeof(bantam_value), set by the caller.
  size_t struct_size;
  // BANTAM_VALUE_...
  int32_t kind;
  // The kind of an array's values.
  int32_t element_kind;
  // The whole number; those beyond 2^63 are negative.
  int64_t integer;
  // The number, whole ones too.
  double number;
  // The text, without a 0 at its end; it is the model's.
  const char *text;
  // Bytes of it.
  size_t text_bytes;
  // Values of an array.
  size_t count;
} bantam_value;

// A tensor of a model's file.
typedef struct bantam_tensor {
  // sizeof(bantam_tensor), set by the caller.
  size_t struct_size;
  // The name, UTF-8 without a 0 at its end; it is the model's.
  const char *name;
  // Bytes of it.
  size_t name_bytes;
  // The type by ggml's number.
  uint32_t type_number;
  // How many dimensions the file states.
  uint32_t dimensions;
  // The extent of each dimension, the fastest first; unused ones are 1.
  uint64_t shape[4];
  // Where it begins, in bytes from the start of what was opened: the file, the part of it, the memory. Of a model in several files they count as one,
  // with gaps between them.
  uint64_t offset;
  // How many bytes it has.
  uint64_t bytes;
  // The name of the backend whose kernels multiply with it, with a 0 at its end: the model's, or one that this takes the format's from. NULL if
  // no kernel reads the type.
  const char *kernels;
} bantam_tensor;

// A token of the vocabulary.
typedef struct bantam_token_info {
  // sizeof(bantam_token_info), set by the caller.
  size_t struct_size;
  // Its bytes, which may be a part of a character; for a control token its name. They are the model's.
  const char *text;
  // How many.
  size_t text_bytes;
  // 1 if it is no text: it steers the model, or is an unused place.
  int32_t is_control;
  // 1 if an answer is over when it comes.
  int32_t is_end;
} bantam_token_info;

// A text of the caller's: UTF-8.
typedef struct bantam_text {
  // Where it begins.
  const char *text;
  // Bytes of it; 0 if it ends with a 0.
  size_t bytes;
} bantam_text;

// A number that is added to the logit of a token; minus infinity forbids it.
typedef struct bantam_bias {
  // The token.
  uint32_t token;
  // The number.
  float bias;
} bantam_bias;

// The settings of a sampler: llama.cpp's names and defaults. 0 means the default; where 0 itself would mean something, a negative number
// does instead.
typedef struct bantam_sampler_options {
  // sizeof(bantam_sampler_options)
  size_t struct_size;
  // Where the random draws start: the same seed gives the same tokens. Take one from the clock for answers that differ.
  uint64_t seed;
  // Divides the logits; 0 is 0.8, negative always takes the most likely token.
  float temperature;
  // Keeps the most likely tokens until their probabilities add up to this; 0 is 0.95, 1 keeps all.
  float top_p;
  // Keeps the `k` most likely tokens; 0 is 40, negative keeps all.
  int32_t top_k;
  // Keeps tokens at least this share as likely as the most likely one; 0 is 0.05, negative keeps all.
  float min_p;
  // Keeps the tokens whose information is nearest to the entropy; 0 and 1 keep all.
  float typical_p;
  // Keeps tokens whose logit is at most so many standard deviations below the greatest; 0 and negative keep all.
  float top_n_sigma;
  // How often XTC is applied; 0 is never.
  float xtc_probability;
  // Of the tokens at least so likely XTC keeps only the least likely; 0 is 0.1.
  float xtc_threshold;
  // The temperature moves by up to this, after the entropy; 0 does not.
  float dynatemp_range;
  // How entropy becomes temperature; 0 is 1.
  float dynatemp_exponent;
  // Divides positive logits of repeated tokens, and multiplies others; 0 and 1 leave them.
  float repeat_penalty;
  // Taken from the logit of a repeated token, once.
  float presence_penalty;
  // Taken from the logit of a repeated token for each time that it stands there.
  float frequency_penalty;
  // The tokens whose repetition is penalised: so many last ones; 0 is 64, negative all of the context.
  int32_t repeat_last_n;
  // Penalises what goes on with a repetition; 0 does not.
  float dry_multiplier;
  // Its base; 0 is 1.75.
  float dry_base;
  // The longest repetition that is let be; 0 is 2, negative none.
  int32_t dry_allowed_length;
  // The tokens in which repetitions are looked for: so many last ones; 0 is 64, negative all of the context.
  int32_t dry_last_n;
  // 1 or 2 chooses by mirostat of that version.
  int32_t mirostat;
  // The surprise that mirostat aims at; 0 is 5.
  float mirostat_target;
  // How fast it learns; 0 is 0.1.
  float mirostat_rate;
  // How many of the most likely tokens a choice tells of, at most 64: see bantam_session_top_logprobs.
  uint32_t top_logprobs;
  // Texts behind which DRY looks for no repetition; NULL is line breaks, colons, quotes and asterisks.
  const struct bantam_text *dry_breakers;
  // How many.
  size_t dry_breaker_count;
  // Numbers that are added to the logits of some tokens.
  const struct bantam_bias *logit_bias;
  // How many.
  size_t logit_bias_count;
  // The stages and their order, BANTAM_STAGE_..., those that are missing being off; NULL is all in the order of their numbers.
  const uint32_t *stages;
  // How many.
  size_t stage_count;
} bantam_sampler_options;

// Gives `bytes` of memory that start at a multiple of `alignment`, or NULL.
typedef void *(*bantam_allocate)(void *user, size_t bytes, size_t alignment);

// Takes memory back that bantam_allocate gave.
typedef void (*bantam_deallocate)(void *user, void *memory, size_t bytes);

// How to open a session. Zeros mean defaults.
typedef struct bantam_session_options {
  // sizeof(bantam_session_options)
  size_t struct_size;
  // Positions of the cache: the most tokens of prompt and answer together; 0 is 4096, or less for a model that was trained for less.
  size_t context;
  // Tokens that are read at once; 0 is 256, or less for a wide model.
  size_t batch;
  // The most sessions that bantam_session_decode_together reads at once with this one as the first; 0 is 1.
  size_t together_max;
  // The most tokens that are guessed and verified at once while answering, up to 15; 0 guesses none, as do models whose layers carry a state.
  size_t draft_max;
  // How keys and values are kept: BANTAM_KV_...
  int32_t kv_format;
  // 1 makes what is computed for a token the same to the last bit however the tokens before it came, at up to half the speed of prompts.
  int32_t exact;
  // Threads of the session's own pool; 0 is bantam_threads_default(). Without meaning beside `pool`.
  size_t threads;
  // The threads that it works with; NULL makes a pool of its own.
  const struct bantam_pool *pool;
  // Stops it; NULL is none.
  const struct bantam_cancel *cancel;
  // Memory for the session, which it uses until it is freed; NULL takes it from `allocate`.
  void *memory;
  // How many bytes are there: at least `total_bytes` of its plan, or opening is BANTAM_MEMORY.
  size_t memory_bytes;
  // Gives the session's memory, once, at open; NULL takes it from the heap.
  bantam_allocate allocate;
  // Takes it back, when the session is freed or opening fails; NULL if nobody has to.
  bantam_deallocate deallocate;
  // Handed to both.
  void *allocator_user;
  // Room for adapters: the most that the ranks of those set at once sum up to; 0 is none. See bantam_session_set_adapters.
  size_t adapter_rank;
  // How many tokens the session can go back without reading any again, if the model has sliding windows; at least a batch. See
  // bantam_session_rewind.
  size_t rewind_max;
} bantam_session_options;

// What a session will take, known before it is opened.
typedef struct bantam_plan {
  // sizeof(bantam_plan), set by the caller.
  size_t struct_size;
  // Positions of the cache.
  size_t context;
  // Bytes of keys and values, and of the states of layers that carry one.
  size_t kv_bytes;
  // Bytes of everything else.
  size_t scratch_bytes;
  // Both.
  size_t total_bytes;
  // Where memory of the caller's has to begin: at a multiple of so many bytes.
  size_t alignment;
} bantam_plan;

// How a session stands.
typedef struct bantam_session_info {
  // sizeof(bantam_session_info), set by the caller.
  size_t struct_size;
  // Tokens that it holds.
  size_t position;
  // Tokens that it can hold.
  size_t context;
  // Tokens that it reads at once.
  size_t batch;
  // Threads that it works with.
  size_t threads;
  // Bytes of keys and values, and of the states of layers that carry one.
  size_t kv_bytes;
  // Bytes of everything else.
  size_t scratch_bytes;
  // Bytes that it takes when it is saved.
  size_t saved_bytes;
  // 1 if there are logits behind the last token.
  int32_t has_logits;
  // 1 if its memory was given back: see bantam_session_trim.
  int32_t is_trimmed;
} bantam_session_info;

// A token that was chosen. The numbers are the model's own: before biases, penalties, grammars and temperature.
typedef struct bantam_choice {
  // sizeof(bantam_choice), set by the caller.
  size_t struct_size;
  // The token.
  uint32_t token;
  // The natural logarithm of its probability.
  float logprob;
  // The entropy of the distribution, in nats.
  float entropy;
  // By how much the log-probability of the most likely token is above that of the second.
  float margin;
} bantam_choice;

// A token and the natural logarithm of its probability.
typedef struct bantam_token_logprob {
  // The token.
  uint32_t token;
  // The logarithm.
  float logprob;
} bantam_token_logprob;

// How an answer begins, goes on and ends. Zeros mean defaults.
typedef struct bantam_answer_options {
  // sizeof(bantam_answer_options)
  size_t struct_size;
  // How tokens are chosen; NULL is the default.
  const struct bantam_sampler_options *sampler;
  // The most tokens; 0 is as many as the context has room for, and with `shift` as many as come.
  size_t max_tokens;
  // Texts that end it, also in the middle of a token.
  const struct bantam_text *stop;
  // How many.
  size_t stop_count;
  // Tokens that end it, beside those that the model's metadata names.
  const uint32_t *stop_tokens;
  // How many.
  size_t stop_token_count;
  // What it has to look like; NULL is anything.
  const struct bantam_grammar *grammar;
  // 1 goes on behind the tokens that end an answer.
  int32_t ignore_end;
  // 1 forgets older tokens when the context is full, and goes on, in models that allow it; 0 ends the answer.
  int32_t shift;
  // Tokens at the start that are never forgotten so.
  size_t shift_keep;
  // 1 guesses tokens ahead from what was said before, which is faster and changes nothing, in sessions with a `draft_max`.
  int32_t lookup;
  // 0.
  int32_t reserved;
} bantam_answer_options;

// A piece of an answer.
typedef struct bantam_piece {
  // sizeof(bantam_piece), set by the caller.
  size_t struct_size;
  // Whole characters, UTF-8 without a 0 at its end; often those of the token, sometimes of several or of none. They are the session's, and
  // stay until the next call with it.
  const char *text;
  // Bytes of them.
  size_t text_bytes;
  // The token; -1 in a last piece that has none.
  int32_t token;
  // The natural logarithm of its probability, before biases, penalties, grammar and temperature: the model's own; 0 without a token.
  float logprob;
  // The entropy of the model's distribution, in nats.
  float entropy;
  // By how much the log-probability of the most likely token is above that of the second.
  float margin;
  // BANTAM_STOP_...: what ended the answer, with this piece; BANTAM_STOP_NONE while it goes on.
  int32_t stop_reason;
  // Which stop string or stop token it was; -1 if it was none.
  int32_t stop_index;
} bantam_piece;

// What an answer was.
typedef struct bantam_summary {
  // sizeof(bantam_summary), set by the caller.
  size_t struct_size;
  // BANTAM_STOP_...
  int32_t stop_reason;
  // Which stop string or stop token it was; -1 if it was none.
  int32_t stop_index;
  // 1 if it is one that its grammar describes, 0 if it is the beginning of one, -1 without a grammar or before its end.
  int32_t is_complete;
  // 0.
  int32_t reserved;
  // Tokens of the answer, the one that ended it included.
  uint64_t tokens;
  // Microseconds that they took; what passed between two calls, or inside of the function that takes pieces, is not counted.
  uint64_t answer_us;
  // Tokens that the last call read as a prompt.
  uint64_t prompt_tokens;
  // Microseconds that took.
  uint64_t prompt_us;
  // Tokens that were guessed.
  uint64_t drafted;
  // Guesses that were right.
  uint64_t accepted;
  // How often prompt and answer waited for a page of the model to be read.
  uint64_t major_faults;
  // The mean of the tokens' log-probabilities: 0 is certain. These are the model's own, and 0 if there was no token.
  float mean_logprob;
  // The least.
  float min_logprob;
  // The 10 % quantile.
  float logprob_q10;
  // The 25 % quantile.
  float logprob_q25;
  // The mean of the entropies, in nats.
  float mean_entropy;
  // 0.
  int32_t reserved2;
} bantam_summary;

// Takes a piece of an answer; returns 0 to go on, anything else to end it. It is called on the thread that called the library, and may call
// nothing of it but cancel objects.
typedef int32_t (*bantam_on_piece)(void *user, const struct bantam_piece *piece);

// What an adapter is.
typedef struct bantam_adapter_info {
  // sizeof(bantam_adapter_info), set by the caller.
  size_t struct_size;
  // Its greatest rank: what it counts for in `adapter_rank` of bantam_session_options.
  size_t rank;
  // Matrices of the model that it adds to.
  size_t matrices;
  // Tells this adapter's file from another's.
  uint64_t fingerprint;
  // Multiplies what it adds, over the rank; 0 if the file has none.
  float alpha;
  // 0.
  int32_t reserved;
} bantam_adapter_info;

// How to open an embedder. Zeros mean defaults.
typedef struct bantam_embedder_options {
  // sizeof(bantam_embedder_options)
  size_t struct_size;
  // The most tokens of a text; 0 is what the model reads, up to 2048.
  size_t context;
  // How texts become vectors: BANTAM_POOLING_...
  int32_t pooling;
  // 1 leaves vectors as long as they are; 0 brings them to length 1, so that the sum of the products of two is a cosine.
  int32_t keep_length;
  // Threads of the embedder's own pool; 0 is bantam_threads_default(). Without meaning beside `pool`.
  size_t threads;
  // The threads that it works with; NULL makes a pool of its own.
  const struct bantam_pool *pool;
  // Stops it; NULL is none.
  const struct bantam_cancel *cancel;
} bantam_embedder_options;

// How an embedder stands.
typedef struct bantam_embedder_info {
  // sizeof(bantam_embedder_info), set by the caller.
  size_t struct_size;
  // Values of a vector, or of a score.
  size_t dim;
  // The most tokens of a text.
  size_t context;
  // Threads that it works with.
  size_t threads;
  // Bytes of memory.
  size_t total_bytes;
  // How texts become vectors: BANTAM_POOLING_..., and never the default.
  int32_t pooling;
  // 0.
  int32_t reserved;
} bantam_embedder_info;

// A text, or a pair of a query and a document.
typedef struct bantam_embed_text {
  // UTF-8.
  const char *text;
  // How many bytes; 0 stands for all up to the first 0.
  size_t text_bytes;
  // The document, if `text` is a query that is asked of it; NULL is none.
  const char *document;
  // How many bytes; 0 stands for all up to the first 0.
  size_t document_bytes;
} bantam_embed_text;

// How to make a chat. Zeros mean defaults.
typedef struct bantam_chat_options {
  // sizeof(bantam_chat_options)
  size_t struct_size;
  // A template, in Jinja; NULL is that of the model's metadata.
  const char *template_source;
  // Bytes of it; 0 if it ends with a 0.
  size_t template_bytes;
  // What the model may call: a JSON array as APIs in OpenAI's style have it; NULL is nothing.
  const char *tools;
  // Bytes of it; 0 if it ends with a 0.
  size_t tools_bytes;
  // More variables of the template: a JSON object, {"enable_thinking": false}; NULL is none.
  const char *variables;
  // Bytes of them; 0 if they end with a 0.
  size_t variables_bytes;
} bantam_chat_options;

// Done.
#define BANTAM_OK 0

// The caller's cancel object was set, or a progress function did not return 0. No failure: what was done until then is kept, and every object stays usable.
#define BANTAM_CANCELLED 1

// A value makes no sense. Change the call.
#define BANTAM_ARGUMENT 2

// The system refused a file. Check the path and its permissions.
#define BANTAM_IO 3

// The path or descriptor is a directory, a pipe, a socket or a device, which cannot be mapped. Copy it to a file.
#define BANTAM_NOT_A_FILE 4

// The bytes are no GGUF file. Check that the path names a model.
#define BANTAM_NOT_GGUF 5

// The file is damaged; `detail` is the offset in bytes. Fetch it again.
#define BANTAM_MALFORMED 6

// The file is sound, but what is in it makes no model, or no adapter of this model: convert it again, or use another file. Or what it computes is no
// number: fetch it again.
#define BANTAM_INCONSISTENT 7

// This version cannot run the model, or the library was built without this part. Use another file, or another build.
#define BANTAM_UNSUPPORTED 8

// The file grew shorter after it was opened. Open it again.
#define BANTAM_CHANGED 9

// Memory cannot be had; `detail` is how many bytes were asked for. Ask for a smaller context.
#define BANTAM_MEMORY 10

// The tokens do not fit into the context; `detail` is how many positions it would take. Shorten the prompt.
#define BANTAM_CONTEXT_FULL 11

// A saved session is damaged, or another model's. Read the prompt again.
#define BANTAM_SAVED 12

// A grammar or a JSON schema is wrong, or too large. Change it.
#define BANTAM_GRAMMAR 13

// A chat template cannot be parsed or rendered, or there is none. Use another, or plain text.
#define BANTAM_TEMPLATE 14

// A handle is NULL, of another kind, or freed already. Change the call.
#define BANTAM_HANDLE 15

// Another call uses the handle, or this one comes from inside a callback. Call again when that one has returned.
#define BANTAM_BUSY 16

// A bug in the library was caught. The handle is good for nothing but to be freed; please report it.
#define BANTAM_PANIC 17

// The caller's buffer is too short; `detail` is the room it takes. Call again with so much.
#define BANTAM_TOO_SMALL 18

// A struct has a size that cannot be, or fields that this version does not know. Compare header and library.
#define BANTAM_STRUCT 19

// There is nothing to do this with: no logits, no answer in progress. Do what comes before it first.
#define BANTAM_STATE 20

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The name of a status, `BANTAM_CONTEXT_FULL`; `BANTAM_?` for a number that is none. It is never NULL.
//
// Ownership: the text is the library's and stays. Threads: any. Errors: none.
const char *bantam_status_name(bantam_status status);

// The version of the ABI that the library was built with.
//
// Ownership: none. Threads: any. Errors: none.
uint32_t bantam_abi_version(void);

// The version of the library, "0.1.0".
//
// Ownership: the text is the library's and stays. Threads: any. Errors: none.
const char *bantam_version(void);

// What the library was built with: a sum of `BANTAM_FEATURE_...`.
//
// Ownership: none. Threads: any. Errors: none.
uint32_t bantam_features(void);

// The name of the `i`-th backend that this CPU can run, the best first: "avx2". NULL behind the last.
//
// Ownership: the text is the library's and stays. Threads: any. Errors: none.
const char *bantam_backend_name(size_t i);

// The name of the `i`-th feature that this CPU has of those that some backend asks for: "avx2", "fma", "dotprod". NULL behind the last.
//
// Ownership: the text is the library's and stays. Threads: any. Errors: none.
const char *bantam_cpu_feature(size_t i);

// The number of threads that suits this machine: that of its fast cores.
//
// Ownership: none. Threads: any. Errors: none.
size_t bantam_threads_default(void);

// Has all of the library's memory come from one block: no malloc, ever. A library without an operating system has no other memory, and needs
// this before anything else.
//
// With an operating system, the system itself may take memory to start threads: use sessions of 1 thread, or an executor. Calls for which the
// block is too small return BANTAM_MEMORY; only templates and grammars are compiled by code that cannot be refused memory, and end the process
// then: leave room for them, as bantam_memory_peak tells.
//
// Ownership: the block is the library's until the process ends. Threads: before all others call the library.
// Errors: BANTAM_ARGUMENT for NULL or less than 64 bytes, BANTAM_STATE if the library has taken memory already.
bantam_status bantam_set_memory(void *memory,
                                size_t bytes,
                                struct bantam_error *error);

// The most bytes that the library had of its own at once, sessions included that are in no memory of the caller's: what a block for
// bantam_set_memory needs, and a little more, as allocations lie apart.
//
// Ownership: none. Threads: any. Errors: none.
size_t bantam_memory_peak(void);

// The bytes that the library has of its own at the moment.
//
// Ownership: none. Threads: any. Errors: none.
size_t bantam_memory_used(void);

// A function of the program's, which a library without an operating system (no BANTAM_FEATURE_STD) calls when it has found a bug of its own, as
// there is nothing to go on with. Programs with any other library need none. `message` says where in the library that was, without a 0 at its end. It
// must not return.
//
// Ownership: the message is the library's. Threads: that which called the library. Errors: none.
extern void bantam_host_panic(const char *message,
                              size_t bytes);

// Makes a cancel object, which is not set.
//
// Ownership: the caller frees it with bantam_cancel_free; what it was given to keeps what it needs of it.
// Threads: any. Errors: BANTAM_ARGUMENT, BANTAM_MEMORY.
bantam_status bantam_cancel_new(struct bantam_cancel **out, struct bantam_error *error);

// Sets it: work that looks at it ends within milliseconds, or does not begin.
//
// Ownership: none taken. Threads: any, inside callbacks and signal handlers too; but not while it is freed.
// Errors: BANTAM_HANDLE.
bantam_status bantam_cancel_set(const struct bantam_cancel *cancel);

// Takes it back, so that work is possible again.
//
// Ownership: none taken. Threads: as bantam_cancel_set. Errors: BANTAM_HANDLE.
bantam_status bantam_cancel_reset(const struct bantam_cancel *cancel);

// 1 if it is set, 0 if not, or if the handle is none.
//
// Ownership: none taken. Threads: as bantam_cancel_set. Errors: none.
int32_t bantam_cancel_is_set(const struct bantam_cancel *cancel);

// Frees it; NULL is none.
//
// Ownership: ends. Threads: any, while nobody else uses it. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_cancel_free(struct bantam_cancel *cancel);

// Makes a pool. Sessions and embedders that are given none make one of their own.
//
// Ownership: the caller frees it with bantam_pool_free; sessions and embedders keep what they need of it.
// Threads: any. Errors: BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY, and BANTAM_IO if the system starts no more threads.
bantam_status bantam_pool_new(const struct bantam_pool_options *options,
                              struct bantam_pool **out,
                              struct bantam_error *error);

// Runs one of the tasks that an executor was given: works on the loop in progress until nothing of it is left to begin.
//
// Ownership: takes one of the executor's `count` tasks, which must not be run again. Threads: any, the one that calls the library
// included. Errors: none.
void bantam_task_run(struct bantam_task *task);

// Lets loops use so many threads from the next one on, at most as many as the pool was made with. Nothing that is computed changes.
//
// Ownership: none taken. Threads: any, during calls of its sessions too. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT for none or more.
bantam_status bantam_pool_set_threads(const struct bantam_pool *pool,
                                      size_t threads,
                                      struct bantam_error *error);

// Changes the priority of the pool's threads, at once: BANTAM_PRIORITY_... That of the calling thread is its owner's.
//
// Ownership: none taken. Threads: any, during calls of its sessions too.
// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT if there is no such priority or the system does not allow it, BANTAM_UNSUPPORTED where threads have none, or
// are the caller's.
bantam_status bantam_pool_set_priority(const struct bantam_pool *pool,
                                       int32_t priority,
                                       struct bantam_error *error);

// Frees a pool; NULL is none. Its threads end when the last session or embedder that uses it is freed.
//
// Ownership: ends. Threads: any, while nobody else uses it. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_pool_free(struct bantam_pool *pool);

// Opens the GGUF file at a path. Its weights stay in the file's pages: they are neither read nor copied.
//
// Ownership: the caller frees the model with bantam_model_free; sessions keep what they need of it.
// Threads: any. Errors: BANTAM_IO, BANTAM_NOT_A_FILE, BANTAM_NOT_GGUF, BANTAM_MALFORMED, BANTAM_INCONSISTENT, BANTAM_UNSUPPORTED,
// BANTAM_MEMORY, BANTAM_CANCELLED, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_HANDLE for a cancel object that is none, BANTAM_CHANGED with `lock`.
bantam_status bantam_model_open(const char *path,
                                size_t path_bytes,
                                const struct bantam_model_options *options,
                                struct bantam_model **out,
                                struct bantam_error *error);

// Opens `length` bytes of an open file from `offset` on (to its end if 0): an asset inside an archive. Any offset that is a multiple of 4 is
// used in place, and others are BANTAM_UNSUPPORTED. The descriptor is borrowed, and may be closed when the call has returned; it is neither read
// nor moved.
//
// Ownership: as bantam_model_open; the descriptor stays the caller's.
// Threads: any. Errors: as bantam_model_open; BANTAM_ARGUMENT if the range is not inside of the file.
bantam_status bantam_model_open_fd(int32_t fd,
                                   uint64_t offset,
                                   uint64_t length,
                                   const struct bantam_model_options *options,
                                   struct bantam_model **out,
                                   struct bantam_error *error);

// Opens a model in memory, in place: flash, or a map of the caller's own. It begins at a multiple of 4, or is BANTAM_UNSUPPORTED.
//
// Ownership: as bantam_model_open; the bytes stay the caller's, who keeps them there and unchanged until the options' `release` is
// called. That is also when opening fails, but not when the options cannot be read (BANTAM_STRUCT that tells of their size or of unknown fields) or the
// call comes from inside of a callback. Threads: any. Errors: as bantam_model_open.
bantam_status bantam_model_open_memory(const void *bytes,
                                       size_t length,
                                       const struct bantam_model_options *options,
                                       struct bantam_model **out,
                                       struct bantam_error *error);

// Opens a model in several files (split GGUF), all parts in their order. One whose files lie beside each other under the usual names,
// name-00001-of-00003.gguf, is opened by bantam_model_open with the path of the first. An error says which part it is of, counted from 1.
//
// Ownership: as bantam_model_open; descriptors stay the caller's. Threads: any.
// Errors: as bantam_model_open_fd; BANTAM_UNSUPPORTED if they are not as many as the model has, BANTAM_INCONSISTENT if they are not in order.
bantam_status bantam_model_open_parts(const struct bantam_part *parts,
                                      size_t count,
                                      const struct bantam_model_options *options,
                                      struct bantam_model **out,
                                      struct bantam_error *error);

// Says what a model is.
//
// Ownership: the texts are the model's, and stay as long as it does. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_CHANGED.
bantam_status bantam_model_get_info(const struct bantam_model *model,
                                    struct bantam_model_info *info,
                                    struct bantam_error *error);

// Frees a model; NULL is none. Its sessions go on working, and keep the file mapped.
//
// Ownership: ends. Threads: any, while nobody else uses the handle. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_model_free(struct bantam_model *model);

// Reads all pages of the model, so that the first answer waits for no disk.
//
// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_CHANGED if the file was cut short, BANTAM_CANCELLED if `cancel` was
// set or `progress` did not return 0; both may be NULL.
bantam_status bantam_model_warm(const struct bantam_model *model,
                                const struct bantam_cancel *cancel,
                                bantam_progress progress,
                                void *progress_user,
                                struct bantam_error *error);

// How many bytes of the model's file are in memory at the moment.
//
// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_IO if the system does not tell.
bantam_status bantam_model_resident_bytes(const struct bantam_model *model,
                                          uint64_t *bytes,
                                          struct bantam_error *error);

// The number of metadata entries.
//
// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_CHANGED.
bantam_status bantam_model_metadata_count(const struct bantam_model *model,
                                          size_t *count,
                                          struct bantam_error *error);

// The `i`-th metadata entry in the order of the file: its key, and its value if that is wanted.
//
// Ownership: the texts are the model's, and stay as long as it does. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_ARGUMENT if there are not as many.
bantam_status bantam_model_metadata_at(const struct bantam_model *model,
                                       size_t i,
                                       const char **key,
                                       size_t *key_bytes,
                                       struct bantam_value *value,
                                       struct bantam_error *error);

// The value of a metadata key, "general.name".
//
// Ownership: the text is the model's, and stays as long as it does. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_ARGUMENT if there is no such key.
bantam_status bantam_model_metadata(const struct bantam_model *model,
                                    const char *key,
                                    size_t key_bytes,
                                    struct bantam_value *value,
                                    struct bantam_error *error);

// The `i`-th value of the array under a metadata key. To read all of them in order takes one pass over the array.
//
// Ownership: the text is the model's, and stays as long as it does. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_ARGUMENT if there is no such key, or not as many values.
bantam_status bantam_model_metadata_element(const struct bantam_model *model,
                                            const char *key,
                                            size_t key_bytes,
                                            size_t i,
                                            struct bantam_value *value,
                                            struct bantam_error *error);

// The number of tensors.
//
// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_CHANGED.
bantam_status bantam_model_tensor_count(const struct bantam_model *model,
                                        size_t *count,
                                        struct bantam_error *error);

// The `i`-th tensor in the order of the file.
//
// Ownership: the name is the model's, and stays as long as it does. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_ARGUMENT if there are not as many.
bantam_status bantam_model_tensor_at(const struct bantam_model *model,
                                     size_t i,
                                     struct bantam_tensor *tensor,
                                     struct bantam_error *error);

// Turns text into tokens: writes them to `tokens`, which has room for `capacity`, and their number to `count`.
//
// `flags` is a sum of BANTAM_TEXT_...; `text_bytes` may be BANTAM_NUL_TERMINATED. There are never more tokens than bytes and 2 more.
//
// Ownership: none taken. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_MEMORY, BANTAM_TOO_SMALL with the number of tokens as the detail: nothing is written then.
bantam_status bantam_model_tokenize(const struct bantam_model *model,
                                    const char *text,
                                    size_t text_bytes,
                                    uint32_t flags,
                                    uint32_t *tokens,
                                    size_t capacity,
                                    size_t *count,
                                    struct bantam_error *error);

// Turns tokens into text: writes it to `text`, which has room for `capacity` bytes, and its length to `text_bytes`. No 0 is added. Tokens
// need not end where characters end, so it is UTF-8 only if all of an answer's are there.
//
// `flags` is 0 or BANTAM_TEXT_SHOW_SPECIAL.
//
// Ownership: none taken. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_MEMORY, BANTAM_TOO_SMALL with the length as the detail: nothing is written then.
bantam_status bantam_model_detokenize(const struct bantam_model *model,
                                      const uint32_t *tokens,
                                      size_t count,
                                      uint32_t flags,
                                      char *text,
                                      size_t capacity,
                                      size_t *text_bytes,
                                      struct bantam_error *error);

// Says what a token is.
//
// Ownership: the text is the model's, and stays as long as it does. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_ARGUMENT for a token outside the vocabulary.
bantam_status bantam_model_token(const struct bantam_model *model,
                                 uint32_t token,
                                 struct bantam_token_info *info,
                                 struct bantam_error *error);

// Makes a sampler, to be used with bantam_session_sample. Answers bring their own.
//
// Ownership: the caller frees it with bantam_sampler_free. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY.
bantam_status bantam_sampler_new(const struct bantam_model *model,
                                 const struct bantam_sampler_options *options,
                                 struct bantam_sampler **out,
                                 struct bantam_error *error);

// Has the sampler start over: its random numbers, and what mirostat has learnt.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_sampler_reset(struct bantam_sampler *sampler, struct bantam_error *error);

// Frees a sampler; NULL is none.
//
// Ownership: ends. Threads: any, while nobody else uses it. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_sampler_free(struct bantam_sampler *sampler);

// Says how much memory a session of these options takes, to the byte. Nothing of it is taken, so a plan may be of more than there is.
//
// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_MEMORY if it would be more than
// addresses reach, BANTAM_UNSUPPORTED for a model that writes no text.
bantam_status bantam_session_plan(const struct bantam_model *model,
                                  const struct bantam_session_options *options,
                                  struct bantam_plan *plan,
                                  struct bantam_error *error);

// Opens a session. All of its memory is had now; reading tokens and pulling the pieces of an answer allocate nothing but what a grammar takes.
//
// Beside what the plan says, it takes some kilobytes from the heap, and so does each answer when it begins.
//
// Ownership: the caller frees it with bantam_session_free. It keeps what it needs of model, pool and cancel object; `memory` stays the
// caller's, and in the session's use until it is freed.
// Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY, BANTAM_CHANGED, BANTAM_UNSUPPORTED for a model that writes no text,
// and BANTAM_IO if the system starts no more threads.
bantam_status bantam_session_open(const struct bantam_model *model,
                                  const struct bantam_session_options *options,
                                  struct bantam_session **out,
                                  struct bantam_error *error);

// Says how a session stands.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT.
bantam_status bantam_session_get_info(struct bantam_session *session,
                                      struct bantam_session_info *info,
                                      struct bantam_error *error);

// Lets `cancel` stop the session from here on; NULL lets nothing.
//
// Ownership: the session keeps what it needs of it. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_MEMORY.
bantam_status bantam_session_set_cancel(struct bantam_session *session,
                                        const struct bantam_cancel *cancel,
                                        struct bantam_error *error);

// Lets the session's pool use so many threads from the next loop on. Nothing that is computed changes.
//
// Ownership: none taken. Threads: one at a time; bantam_pool_set_threads may be called at any time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT for none or more than the pool was made with.
bantam_status bantam_session_set_threads(struct bantam_session *session,
                                         size_t threads,
                                         struct bantam_error *error);

// Changes the priority of the threads of the session's pool: BANTAM_PRIORITY_...
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_BUSY, and as bantam_pool_set_priority.
bantam_status bantam_session_set_priority(struct bantam_session *session,
                                          int32_t priority,
                                          struct bantam_error *error);

// Frees a session; NULL is none.
//
// Ownership: ends; `memory` of its options is the caller's again. Threads: any, while nobody else uses it.
// Errors: BANTAM_HANDLE, BANTAM_BUSY if another call uses it, also one that this one comes from inside of: it is not freed then.
bantam_status bantam_session_free(struct bantam_session *session);

// Makes `tokens` what the session holds, and reads only those behind what it holds of them already: a prompt that shares its beginning
// with the one before costs only the rest. `read`, which may be NULL, is how many were read, also when that was cancelled.
//
// An answer in progress is given up.
//
// Ownership: none taken. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_CONTEXT_FULL, BANTAM_CHANGED: the session holds what it held then. BANTAM_CANCELLED: call
// again to read the rest.
bantam_status bantam_session_prompt(struct bantam_session *session,
                                    const uint32_t *tokens,
                                    size_t count,
                                    size_t *read,
                                    struct bantam_error *error);

// As bantam_session_prompt, with a text: `flags` is a sum of BANTAM_TEXT_..., `text_bytes` may be BANTAM_NUL_TERMINATED.
//
// Ownership: none taken. Threads: one at a time. Errors: as bantam_session_prompt and bantam_model_tokenize.
bantam_status bantam_session_prompt_text(struct bantam_session *session,
                                         const char *text,
                                         size_t text_bytes,
                                         uint32_t flags,
                                         size_t *read,
                                         struct bantam_error *error);

// Reads tokens behind those that the session holds. An answer in progress is given up.
//
// Ownership: none taken. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_CONTEXT_FULL, BANTAM_CHANGED: the session holds what it held then. BANTAM_CANCELLED: its
// position tells how many were read.
bantam_status bantam_session_prefill(struct bantam_session *session,
                                     const uint32_t *tokens,
                                     size_t count,
                                     struct bantam_error *error);

// Reads one token, such as the one that bantam_session_sample chose. An answer in progress is given up.
//
// Ownership: none taken. Threads: one at a time. Errors: as bantam_session_prefill.
bantam_status bantam_session_decode(struct bantam_session *session,
                                    uint32_t token,
                                    struct bantam_error *error);

// Reads one token in each of several sessions of one model at once, `tokens[i]` in `sessions[i]`: the weights are read once for all. The first
// session's threads and cancel object are used; open it with `together_max`. Answers in progress are given up.
//
// Ownership: none taken. Threads: one at a time each.
// Errors: as bantam_session_prefill. BANTAM_BUSY also if a session is there twice, BANTAM_ARGUMENT if they are of several models, have different
// adapters, or are more than BANTAM_TOGETHER_MAX. BANTAM_CANCELLED: those that were through hold their tokens, the others what they held.
bantam_status bantam_session_decode_together(struct bantam_session *const *sessions,
                                             const uint32_t *tokens,
                                             size_t count,
                                             struct bantam_error *error);

// The tokens that the session holds.
//
// Ownership: they are the session's, and stay until the next call that changes what it holds: reads, goes on with an answer, rewinds, shifts, restores,
// copies into it, sets adapters, trims or frees. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
bantam_status bantam_session_tokens(struct bantam_session *session,
                                    const uint32_t **tokens,
                                    size_t *count,
                                    struct bantam_error *error);

// The score of every token of the vocabulary as the next one.
//
// Ownership: they are the session's, and stay until the next call that changes what it holds: reads, goes on with an answer, rewinds, shifts, restores,
// copies into it, sets adapters, trims or frees. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STATE if nothing was read yet, or nothing since a rewind.
bantam_status bantam_session_logits(struct bantam_session *session,
                                    const float **logits,
                                    size_t *count,
                                    struct bantam_error *error);

// Forgets every token behind the first `position`. An answer in progress is given up.
//
// The logits of the last token that is left are gone as well, so something has to be read before the next answer; bantam_session_prompt with what is held
// reads its last token once more. Nothing is computed. In models with sliding windows (see `rewind_max` of the options), and in those that carry a state from token to token, the
// next call may have to read tokens again that are held: then it takes that much longer.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT if it holds fewer.
bantam_status bantam_session_rewind(struct bantam_session *session,
                                    size_t position,
                                    struct bantam_error *error);

// Forgets `discard` tokens behind the first `keep`; those behind them move up, and an answer in progress goes on.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT if it does not hold so many, or if
// layers of its model carry a state.
bantam_status bantam_session_shift(struct bantam_session *session,
                                   size_t keep,
                                   size_t discard,
                                   struct bantam_error *error);

// Chooses the next token; it is not read yet.
//
// Ownership: none taken. Threads: one at a time each. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_STATE if nothing was
// read yet, or nothing since a rewind; BANTAM_INCONSISTENT if no token has a logit that is a number, as damaged weights make them.
bantam_status bantam_session_sample(struct bantam_session *session,
                                    struct bantam_sampler *sampler,
                                    struct bantam_choice *choice,
                                    struct bantam_error *error);

// The most likely tokens at the last choice, of bantam_session_sample or of an answer, the likeliest first: as many as its sampler's `top_logprobs` asked
// for, none before the first choice. They are written to `out`, which has room for `capacity`, and their number to `count`.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_TOO_SMALL with their number as the detail:
// nothing is written then.
bantam_status bantam_session_top_logprobs(struct bantam_session *session,
                                          struct bantam_token_logprob *out,
                                          size_t capacity,
                                          size_t *count,
                                          struct bantam_error *error);

// Opens a session on the heap that holds what this one holds, logits included, with the same model, threads and options.
//
// Ownership: the caller frees it with bantam_session_free. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_MEMORY,
// BANTAM_CHANGED.
bantam_status bantam_session_fork(struct bantam_session *session,
                                  struct bantam_session **out,
                                  struct bantam_error *error);

// Makes `to` hold what `from` holds, logits included: a fork into a session that is there already. An answer in progress in `to` is given up.
//
// Ownership: none taken. Threads: one at a time each. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_CONTEXT_FULL, BANTAM_ARGUMENT if they are of two
// models, keep their caches differently, or `to` has no room for the adapters of `from`: `to` holds what it held then.
bantam_status bantam_session_copy(struct bantam_session *to,
                                  struct bantam_session *from,
                                  struct bantam_error *error);

// Saves what the session holds, logits included, to a file. One that is there already is replaced once all is written.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_IO, BANTAM_CHANGED,
// BANTAM_CANCELLED: a file that was there is there still then.
bantam_status bantam_session_save(struct bantam_session *session,
                                  const char *path,
                                  size_t path_bytes,
                                  struct bantam_error *error);

// Makes the session hold what was saved to a file, logits included. An answer in progress is given up.
//
// Ownership: none taken. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_IO, BANTAM_SAVED, BANTAM_CHANGED, BANTAM_CONTEXT_FULL: the session holds what it held then; only
// if somebody else writes to the file in the meantime it may hold nothing.
bantam_status bantam_session_restore(struct bantam_session *session,
                                     const char *path,
                                     size_t path_bytes,
                                     struct bantam_error *error);

// Saves what the session holds, logits included, to memory: `saved_bytes` of its info. `written` is how many bytes that took.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_TOO_SMALL, BANTAM_CHANGED,
// BANTAM_CANCELLED.
bantam_status bantam_session_save_to(struct bantam_session *session,
                                     void *memory,
                                     size_t capacity,
                                     size_t *written,
                                     struct bantam_error *error);

// Makes the session hold what was saved to memory, logits included. An answer in progress is given up.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_SAVED, BANTAM_CHANGED, BANTAM_CONTEXT_FULL: the
// session holds what it held then.
bantam_status bantam_session_restore_from(struct bantam_session *session,
                                          const void *memory,
                                          size_t bytes,
                                          struct bantam_error *error);

// Gives memory back to the system, BANTAM_TRIM_..., when an app goes into the background or is warned that memory is short. An answer in
// progress can be pulled on afterwards. `path` names a file for BANTAM_TRIM_ALL, in a place of the app's own and for no other session, and is not looked at
// otherwise; `released`, which may be NULL, is how many bytes were given back. Memory of the caller's is not. The file goes when it was read, or when
// what it holds is given up: by a rewind to 0, a restore, or with the session.
//
// Behind BANTAM_TRIM_ALL every call with the session that needs more than its tokens takes its memory back first. Where it cannot, that call is BANTAM_IO,
// BANTAM_SAVED or BANTAM_CHANGED, whatever its own errors are, and may be made again; rewind to 0, and read the prompt again.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_IO, BANTAM_CHANGED, BANTAM_CANCELLED: nothing was
// given back then.
bantam_status bantam_session_trim(struct bantam_session *session,
                                  int32_t level,
                                  const char *path,
                                  size_t path_bytes,
                                  size_t *released,
                                  struct bantam_error *error);

// Begins an answer behind what the session holds, in place of one that is in progress. The tokens come with bantam_session_next.
//
// Ownership: none taken; the session keeps copies of what the options point to. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY, BANTAM_CHANGED, BANTAM_UNSUPPORTED for a grammar in a library without
// grammars, BANTAM_STATE if nothing was read yet, or nothing since a rewind: an answer in progress goes on then.
bantam_status bantam_session_begin(struct bantam_session *session,
                                   const struct bantam_answer_options *options,
                                   struct bantam_error *error);

// Pulls the next piece of the answer. The last one has a `stop_reason`; behind it there is none.
//
// The session holds the answer up to its last token, which was drawn and not read, whatever ended the answer. Who goes on behind a budget decodes that
// piece's `token` first, or would draw it once more.
//
// Being cancelled ends an answer like anything else does: BANTAM_OK with BANTAM_STOP_CANCELLED. What the session holds then, it keeps.
//
// Ownership: the text is the session's, and stays until the next call with it. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_GRAMMAR, BANTAM_STATE if no answer is in progress: none was begun, it is over,
// or another call gave it up; BANTAM_INCONSISTENT as bantam_session_sample.
bantam_status bantam_session_next(struct bantam_session *session,
                                  struct bantam_piece *piece,
                                  struct bantam_error *error);

// Says what the last answer was, or what it is so far.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_STATE if there was none.
bantam_status bantam_session_get_summary(struct bantam_session *session,
                                         struct bantam_summary *summary,
                                         struct bantam_error *error);

// Begins an answer, hands all of its pieces to a function, and says what it was. The function may be NULL, and so may `summary`.
//
// Being cancelled, or ended by the function, is BANTAM_OK with BANTAM_STOP_CANCELLED in the summary. The session keeps what it holds; an answer that
// the function ended can be pulled on with bantam_session_next.
//
// Ownership: a piece and its text are the library's, and stay while the function runs. Threads: one at a time; the function runs on the
// calling thread. Errors: as bantam_session_begin and bantam_session_next.
bantam_status bantam_session_generate(struct bantam_session *session,
                                      const struct bantam_answer_options *options,
                                      bantam_on_piece on_piece,
                                      void *user,
                                      struct bantam_summary *summary,
                                      struct bantam_error *error);

// Opens the adapter at a path: a GGUF file, mapped in place and checked against the model. An error names the tensor that does not fit.
//
// Ownership: the caller frees it with bantam_adapter_free; it keeps what it needs of the model, and sessions what they need of it.
// Threads: any. Errors: BANTAM_HANDLE, BANTAM_IO, BANTAM_NOT_A_FILE, BANTAM_NOT_GGUF, BANTAM_MALFORMED, BANTAM_INCONSISTENT if it is no adapter or another
// model's, BANTAM_UNSUPPORTED, BANTAM_MEMORY, BANTAM_ARGUMENT, BANTAM_CHANGED if the model's file was cut short.
bantam_status bantam_adapter_open(const struct bantam_model *model,
                                  const char *path,
                                  size_t path_bytes,
                                  struct bantam_adapter **out,
                                  struct bantam_error *error);

// Opens `length` bytes of an open file from `offset` on (to its end if 0) as an adapter: an asset inside an archive. The descriptor is borrowed, and may
// be closed when the call has returned.
//
// Ownership: as bantam_adapter_open; the descriptor stays the caller's.
// Threads: any. Errors: as bantam_adapter_open; BANTAM_ARGUMENT if the range is not inside of the file.
bantam_status bantam_adapter_open_fd(const struct bantam_model *model,
                                     int32_t fd,
                                     uint64_t offset,
                                     uint64_t length,
                                     struct bantam_adapter **out,
                                     struct bantam_error *error);

// Opens an adapter in memory, in place.
//
// Ownership: as bantam_adapter_open; the bytes stay the caller's, who keeps them there and unchanged until `release`, which may be NULL, is called with
// `user`: when the last user of the bytes is gone, on whatever thread that is, or when opening fails.
// Threads: any. Errors: as bantam_adapter_open.
bantam_status bantam_adapter_open_memory(const struct bantam_model *model,
                                         const void *bytes,
                                         size_t length,
                                         bantam_release release,
                                         void *user,
                                         struct bantam_adapter **out,
                                         struct bantam_error *error);

// Says what an adapter is.
//
// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_ARGUMENT, BANTAM_CHANGED.
bantam_status bantam_adapter_get_info(const struct bantam_adapter *adapter,
                                      struct bantam_adapter_info *info,
                                      struct bantam_error *error);

// Has a session use these adapters, `scales[i]` being the scale of `adapters[i]`, instead of those that it had; `scales` may be NULL, and all are 1 then.
// None at all takes them away, and the session computes what it did before, to the last bit.
//
// What the session holds was computed with other adapters, so it is forgotten, and an answer in progress is given up; with the adapters and scales
// that are set already, nothing happens. Nothing is allocated: the session is opened with an `adapter_rank` of all ranks together.
//
// Ownership: none taken; the session keeps what it needs of the adapters, which may be freed. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_CHANGED, BANTAM_ARGUMENT for more than BANTAM_ADAPTERS_MAX, one of another model, a scale that is no
// number, or ranks that there is no room for: nothing has happened then.
bantam_status bantam_session_set_adapters(struct bantam_session *session,
                                          const struct bantam_adapter *const *adapters,
                                          const float *scales,
                                          size_t count,
                                          struct bantam_error *error);

// Frees an adapter; NULL is none. Sessions that have it go on working.
//
// Ownership: ends. Threads: any, while nobody else uses the handle. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_adapter_free(struct bantam_adapter *adapter);

// Says how much memory an embedder of these options takes, to the byte.
//
// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_MEMORY, BANTAM_UNSUPPORTED as
// bantam_embedder_open.
bantam_status bantam_embedder_plan(const struct bantam_model *model,
                                   const struct bantam_embedder_options *options,
                                   struct bantam_plan *plan,
                                   struct bantam_error *error);

// Opens an embedder, and has all the memory that it computes in.
//
// Ownership: the caller frees it with bantam_embedder_free. It keeps what it needs of model, pool and cancel object.
// Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY, BANTAM_CHANGED, BANTAM_UNSUPPORTED if neither the file nor
// the options say how texts become vectors, and BANTAM_IO if the system starts no more threads.
bantam_status bantam_embedder_open(const struct bantam_model *model,
                                   const struct bantam_embedder_options *options,
                                   struct bantam_embedder **out,
                                   struct bantam_error *error);

// Says how an embedder stands.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT.
bantam_status bantam_embedder_get_info(struct bantam_embedder *embedder,
                                       struct bantam_embedder_info *info,
                                       struct bantam_error *error);

// Lets `cancel` stop the embedder from here on; NULL lets nothing.
//
// Ownership: the embedder keeps what it needs of it. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_MEMORY.
bantam_status bantam_embedder_set_cancel(struct bantam_embedder *embedder,
                                         const struct bantam_cancel *cancel,
                                         struct bantam_error *error);

// Makes vectors of `count` texts, one behind the other in `out`, which has room for `capacity` values: `dim` for each text, or without
// pooling for each of its tokens. How many that were is written to `written`, which may be NULL.
//
// Several texts go through the model at once, so many in one call are faster than as many calls. `flags` are BANTAM_EMBED_... What
// the texts' tokens take comes from the heap.
//
// Ownership: none taken. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_MEMORY, BANTAM_CHANGED; BANTAM_CONTEXT_FULL for a text of more tokens than the
// embedder's context; BANTAM_TOO_SMALL, with the number of values in `detail`: nothing is written then. BANTAM_CANCELLED, and
// BANTAM_INCONSISTENT for weights that make values which are no numbers: what is in `out` means nothing.
bantam_status bantam_embedder_embed(struct bantam_embedder *embedder,
                                    const struct bantam_embed_text *texts,
                                    size_t count,
                                    uint32_t flags,
                                    float *out,
                                    size_t capacity,
                                    size_t *written,
                                    struct bantam_error *error);

// Gives the memory that texts are read in back to the system, when an app goes into the background or is warned that memory is short; the
// next call takes it again, and makes the same vectors. `released`, which may be NULL, is how many bytes were given back.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
bantam_status bantam_embedder_trim(struct bantam_embedder *embedder,
                                   size_t *released,
                                   struct bantam_error *error);

// Frees an embedder; NULL is none.
//
// Ownership: ends. Threads: any, while nobody else uses it.
// Errors: BANTAM_HANDLE, BANTAM_BUSY if another call uses it: it is not freed then.
bantam_status bantam_embedder_free(struct bantam_embedder *embedder);

// Compiles a grammar, BANTAM_GRAMMAR_..., for a model. The first of a model takes longer than those that follow.
//
// Ownership: the caller frees it with bantam_grammar_free; answers keep what they need of it. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_CHANGED, BANTAM_MEMORY, BANTAM_GRAMMAR that says what is wrong and where, BANTAM_UNSUPPORTED for a vocabulary that cannot be
// constrained.
bantam_status bantam_grammar_new(const struct bantam_model *model,
                                 int32_t kind,
                                 const char *source,
                                 size_t source_bytes,
                                 struct bantam_grammar **out,
                                 struct bantam_error *error);

// Frees a grammar; NULL is none.
//
// Ownership: ends. Threads: any, while nobody else uses the handle. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_grammar_free(struct bantam_grammar *grammar);

// Makes a chat without messages.
//
// Ownership: the caller frees it with bantam_chat_free; it keeps what it needs of the model. Threads: any.
// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_MEMORY, BANTAM_TEMPLATE if there is no template or it cannot be
// parsed.
bantam_status bantam_chat_new(const struct bantam_model *model,
                              const struct bantam_chat_options *options,
                              struct bantam_chat **out,
                              struct bantam_error *error);

// Adds a message: BANTAM_ROLE_..., and what is said. What users and tools say can name no control tokens.
//
// Ownership: none taken; the chat keeps a copy. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
bantam_status bantam_chat_add(struct bantam_chat *chat,
                              int32_t role,
                              const char *text,
                              size_t text_bytes,
                              struct bantam_error *error);

// Adds the messages of a JSON array as APIs in OpenAI's style have them, with all of their fields. Content may be a list of parts, if all are texts.
//
// Ownership: none taken; the chat keeps a copy. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
bantam_status bantam_chat_add_json(struct bantam_chat *chat,
                                   const char *messages,
                                   size_t messages_bytes,
                                   struct bantam_error *error);

// Adds what the model answered, with thoughts and tool calls apart from the text. `is_complete` is 1 if BANTAM_STOP_END, _TOKEN, _STRING or
// _COMPLETE ended it, and 0 for an answer that was cut off: a call that was only begun is left out then. The message comes out as JSON in OpenAI's style: {"role", "content", "reasoning_content", "tool_calls"}.
//
// Ownership: the JSON is the chat's, and stays until the next call with it; both places for it may be NULL. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
bantam_status bantam_chat_add_answer(struct bantam_chat *chat,
                                     const char *text,
                                     size_t text_bytes,
                                     int32_t is_complete,
                                     const char **json,
                                     size_t *json_bytes,
                                     struct bantam_error *error);

// How many messages there are, and how many of them are left out as the context has no room for them. Both may be NULL.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_chat_count(struct bantam_chat *chat,
                                size_t *count,
                                size_t *left_out,
                                struct bantam_error *error);

// Takes back all messages behind the first `count`; 0 begins anew.
//
// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_chat_truncate(struct bantam_chat *chat, size_t count, struct bantam_error *error);

// The conversation as the template writes it down, up to where the answer begins: to be shown. For a session use bantam_chat_prompt, which tells
// control tokens from text that only looks like them.
//
// Ownership: the text is the chat's, and stays until the next call with it. Threads: one at a time.
// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_TEMPLATE.
bantam_status bantam_chat_render(struct bantam_chat *chat,
                                 const char **text,
                                 size_t *text_bytes,
                                 struct bantam_error *error);

// Makes the conversation what the session holds, up to where the answer begins, and reads what of it is new; `read`, which may be NULL, is how
// much. Oldest turns are left out if the context has no room for them. An answer in progress is given up.
//
// Ownership: none taken. Threads: one at a time each. Errors: as bantam_session_prompt; BANTAM_TEMPLATE, BANTAM_ARGUMENT for a session of another
// model, BANTAM_CONTEXT_FULL if the last message alone is too long.
bantam_status bantam_chat_prompt(struct bantam_chat *chat,
                                 struct bantam_session *session,
                                 size_t *read,
                                 struct bantam_error *error);

// The grammar of answers that may call the chat's tools: `choice` is "auto", "required", "none", or the name of the tool that has to be called, once.
// Every call is of a tool that there is, with arguments that its schema accepts, and none that it does not list unless it says `additionalProperties`.
// `model` is that of the chat. `out` is NULL if anything goes.
//
// Ownership: the caller frees it with bantam_grammar_free. Threads: one at a time.
// Errors: BANTAM_BUSY, and as bantam_grammar_new; BANTAM_ARGUMENT also for a tool that there is none, and for another model.
bantam_status bantam_chat_grammar(struct bantam_chat *chat,
                                  const struct bantam_model *model,
                                  const char *choice,
                                  size_t choice_bytes,
                                  struct bantam_grammar **out,
                                  struct bantam_error *error);

// Frees a chat; NULL is none.
//
// Ownership: ends. Threads: any, while nobody else uses it. Errors: BANTAM_HANDLE, BANTAM_BUSY.
bantam_status bantam_chat_free(struct bantam_chat *chat);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BANTAM_H */
