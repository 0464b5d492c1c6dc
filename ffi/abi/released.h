// The header of the last release, or before the first one what programs were written for: scripts/check-abi --release.
#ifndef BANTAM_H
#define BANTAM_H 
#include <stddef.h>
#include <stdint.h>
#define BANTAM_NUL_TERMINATED SIZE_MAX
#define BANTAM_MESSAGE_BYTES 240
#define BANTAM_ABI_VERSION 1
#define BANTAM_FEATURE_CHAT 1
#define BANTAM_FEATURE_CONSTRAIN 2
#define BANTAM_FEATURE_STD 4
#define BANTAM_PRIORITY_LOW -1
#define BANTAM_PRIORITY_NORMAL 0
#define BANTAM_PRIORITY_MEDIUM 1
#define BANTAM_PRIORITY_HIGH 2
#define BANTAM_VALUE_INTEGER 1
#define BANTAM_VALUE_NUMBER 2
#define BANTAM_VALUE_BOOL 3
#define BANTAM_VALUE_TEXT 4
#define BANTAM_VALUE_ARRAY 5
#define BANTAM_TEXT_ADD_SPECIAL 1
#define BANTAM_TEXT_PARSE_SPECIAL 2
#define BANTAM_TEXT_SHOW_SPECIAL 4
#define BANTAM_STAGE_PENALTIES 1
#define BANTAM_STAGE_DRY 2
#define BANTAM_STAGE_TOP_N_SIGMA 3
#define BANTAM_STAGE_TOP_K 4
#define BANTAM_STAGE_TYPICAL_P 5
#define BANTAM_STAGE_TOP_P 6
#define BANTAM_STAGE_MIN_P 7
#define BANTAM_STAGE_XTC 8
#define BANTAM_STAGE_TEMPERATURE 9
#define BANTAM_KV_F16 0
#define BANTAM_KV_Q8_0 1
#define BANTAM_KV_Q4_0 2
#define BANTAM_TRIM_SCRATCH 1
#define BANTAM_TRIM_ALL 2
#define BANTAM_STOP_NONE 0
#define BANTAM_STOP_END 1
#define BANTAM_STOP_TOKEN 2
#define BANTAM_STOP_STRING 3
#define BANTAM_STOP_BUDGET 4
#define BANTAM_STOP_COMPLETE 5
#define BANTAM_STOP_CONTEXT_FULL 6
#define BANTAM_STOP_CANCELLED 7
#define BANTAM_GRAMMAR_JSON 1
#define BANTAM_GRAMMAR_JSON_SCHEMA 2
#define BANTAM_GRAMMAR_REGEX 3
#define BANTAM_GRAMMAR_LARK 4
#define BANTAM_GRAMMAR_GBNF 5
#define BANTAM_ROLE_SYSTEM 1
#define BANTAM_ROLE_USER 2
#define BANTAM_ROLE_ASSISTANT 3
#define BANTAM_ROLE_TOOL 4
typedef struct bantam_cancel bantam_cancel;
typedef struct bantam_chat bantam_chat;
typedef struct bantam_grammar bantam_grammar;
typedef struct bantam_model bantam_model;
typedef struct bantam_pool bantam_pool;
typedef struct bantam_sampler bantam_sampler;
typedef struct bantam_session bantam_session;
typedef struct bantam_task bantam_task;
typedef int32_t bantam_status;
typedef struct bantam_error {
  bantam_status status;
  int32_t reserved;
  int64_t detail;
  char message[BANTAM_MESSAGE_BYTES];
} bantam_error;
typedef void (*bantam_executor)(void *user, struct bantam_task *task, size_t count);
typedef void (*bantam_poll)(void *user);
typedef struct bantam_pool_options {
  size_t struct_size;
  size_t threads;
  bantam_executor executor;
  void *executor_user;
  bantam_poll poll;
  void *poll_user;
} bantam_pool_options;
typedef void (*bantam_log)(void *user, const char *message, size_t bytes);
typedef void (*bantam_release)(void *user);
typedef struct bantam_model_options {
  size_t struct_size;
  const char *backend;
  size_t backend_bytes;
  const struct bantam_cancel *cancel;
  bantam_log log;
  void *log_user;
  bantam_release release;
  void *release_user;
  int32_t lock;
  int32_t reserved;
} bantam_model_options;
typedef struct bantam_part {
  const char *path;
  size_t path_bytes;
  uint64_t offset;
  uint64_t length;
  int32_t fd;
  int32_t reserved;
} bantam_part;
typedef int32_t (*bantam_progress)(void *user, uint64_t done, uint64_t all);
typedef struct bantam_model_info {
  size_t struct_size;
  const char *architecture;
  size_t architecture_bytes;
  const char *backend;
  uint64_t file_bytes;
  uint64_t bytes_per_token;
  uint64_t macs_per_token;
  uint64_t fingerprint;
  size_t vocab_size;
  size_t context_length;
  size_t layers;
  size_t dim;
  size_t ffn;
  size_t heads;
  size_t kv_heads;
  size_t head_dim;
  int32_t bos;
  int32_t eos;
  int32_t has_chat_template;
  int32_t is_file_backed;
} bantam_model_info;
typedef struct bantam_value {
  size_t struct_size;
  int32_t kind;
  int32_t element_kind;
  int64_t integer;
  double number;
  const char *text;
  size_t text_bytes;
  size_t count;
} bantam_value;
typedef struct bantam_tensor {
  size_t struct_size;
  const char *name;
  size_t name_bytes;
  uint32_t type_number;
  uint32_t dimensions;
  uint64_t shape[4];
  uint64_t offset;
  uint64_t bytes;
  const char *kernels;
} bantam_tensor;
typedef struct bantam_token_info {
  size_t struct_size;
  const char *text;
  size_t text_bytes;
  int32_t is_control;
  int32_t is_end;
} bantam_token_info;
typedef struct bantam_text {
  const char *text;
  size_t bytes;
} bantam_text;
typedef struct bantam_bias {
  uint32_t token;
  float bias;
} bantam_bias;
typedef struct bantam_sampler_options {
  size_t struct_size;
  uint64_t seed;
  float temperature;
  float top_p;
  int32_t top_k;
  float min_p;
  float typical_p;
  float top_n_sigma;
  float xtc_probability;
  float xtc_threshold;
  float dynatemp_range;
  float dynatemp_exponent;
  float repeat_penalty;
  float presence_penalty;
  float frequency_penalty;
  int32_t repeat_last_n;
  float dry_multiplier;
  float dry_base;
  int32_t dry_allowed_length;
  int32_t dry_last_n;
  int32_t mirostat;
  float mirostat_target;
  float mirostat_rate;
  uint32_t top_logprobs;
  const struct bantam_text *dry_breakers;
  size_t dry_breaker_count;
  const struct bantam_bias *logit_bias;
  size_t logit_bias_count;
  const uint32_t *stages;
  size_t stage_count;
} bantam_sampler_options;
typedef void *(*bantam_allocate)(void *user, size_t bytes, size_t alignment);
typedef void (*bantam_deallocate)(void *user, void *memory, size_t bytes);
typedef struct bantam_session_options {
  size_t struct_size;
  size_t context;
  size_t batch;
  size_t together_max;
  size_t draft_max;
  int32_t kv_format;
  int32_t exact;
  size_t threads;
  const struct bantam_pool *pool;
  const struct bantam_cancel *cancel;
  void *memory;
  size_t memory_bytes;
  bantam_allocate allocate;
  bantam_deallocate deallocate;
  void *allocator_user;
} bantam_session_options;
typedef struct bantam_plan {
  size_t struct_size;
  size_t context;
  size_t kv_bytes;
  size_t scratch_bytes;
  size_t total_bytes;
  size_t alignment;
} bantam_plan;
typedef struct bantam_session_info {
  size_t struct_size;
  size_t position;
  size_t context;
  size_t batch;
  size_t threads;
  size_t kv_bytes;
  size_t scratch_bytes;
  size_t saved_bytes;
  int32_t has_logits;
  int32_t is_trimmed;
} bantam_session_info;
typedef struct bantam_choice {
  size_t struct_size;
  uint32_t token;
  float logprob;
  float entropy;
  float margin;
} bantam_choice;
typedef struct bantam_token_logprob {
  uint32_t token;
  float logprob;
} bantam_token_logprob;
typedef struct bantam_answer_options {
  size_t struct_size;
  const struct bantam_sampler_options *sampler;
  size_t max_tokens;
  const struct bantam_text *stop;
  size_t stop_count;
  const uint32_t *stop_tokens;
  size_t stop_token_count;
  const struct bantam_grammar *grammar;
  int32_t ignore_end;
  int32_t shift;
  size_t shift_keep;
  int32_t lookup;
  int32_t reserved;
} bantam_answer_options;
typedef struct bantam_piece {
  size_t struct_size;
  const char *text;
  size_t text_bytes;
  int32_t token;
  float logprob;
  float entropy;
  float margin;
  int32_t stop_reason;
  int32_t stop_index;
} bantam_piece;
typedef struct bantam_summary {
  size_t struct_size;
  int32_t stop_reason;
  int32_t stop_index;
  int32_t is_complete;
  int32_t reserved;
  uint64_t tokens;
  uint64_t answer_us;
  uint64_t prompt_tokens;
  uint64_t prompt_us;
  uint64_t drafted;
  uint64_t accepted;
  uint64_t major_faults;
  float mean_logprob;
  float min_logprob;
  float logprob_q10;
  float logprob_q25;
  float mean_entropy;
  int32_t reserved2;
} bantam_summary;
typedef int32_t (*bantam_on_piece)(void *user, const struct bantam_piece *piece);
typedef struct bantam_chat_options {
  size_t struct_size;
  const char *template_source;
  size_t template_bytes;
  const char *tools;
  size_t tools_bytes;
  const char *variables;
  size_t variables_bytes;
} bantam_chat_options;
#define BANTAM_OK 0
#define BANTAM_CANCELLED 1
#define BANTAM_ARGUMENT 2
#define BANTAM_IO 3
#define BANTAM_NOT_A_FILE 4
#define BANTAM_NOT_GGUF 5
#define BANTAM_MALFORMED 6
#define BANTAM_INCONSISTENT 7
#define BANTAM_UNSUPPORTED 8
#define BANTAM_CHANGED 9
#define BANTAM_MEMORY 10
#define BANTAM_CONTEXT_FULL 11
#define BANTAM_SAVED 12
#define BANTAM_GRAMMAR 13
#define BANTAM_TEMPLATE 14
#define BANTAM_HANDLE 15
#define BANTAM_BUSY 16
#define BANTAM_PANIC 17
#define BANTAM_TOO_SMALL 18
#define BANTAM_STRUCT 19
#define BANTAM_STATE 20
#ifdef __cplusplus
extern "C" {
#endif
const char *bantam_status_name(bantam_status status);
uint32_t bantam_abi_version(void);
const char *bantam_version(void);
uint32_t bantam_features(void);
const char *bantam_backend_name(size_t i);
const char *bantam_cpu_feature(size_t i);
size_t bantam_threads_default(void);
bantam_status bantam_set_memory(void *memory,
                                size_t bytes,
                                struct bantam_error *error);
size_t bantam_memory_peak(void);
size_t bantam_memory_used(void);
extern void bantam_host_panic(const char *message,
                              size_t bytes);
bantam_status bantam_cancel_new(struct bantam_cancel **out, struct bantam_error *error);
bantam_status bantam_cancel_set(const struct bantam_cancel *cancel);
bantam_status bantam_cancel_reset(const struct bantam_cancel *cancel);
int32_t bantam_cancel_is_set(const struct bantam_cancel *cancel);
bantam_status bantam_cancel_free(struct bantam_cancel *cancel);
bantam_status bantam_pool_new(const struct bantam_pool_options *options,
                              struct bantam_pool **out,
                              struct bantam_error *error);
void bantam_task_run(struct bantam_task *task);
bantam_status bantam_pool_set_threads(const struct bantam_pool *pool,
                                      size_t threads,
                                      struct bantam_error *error);
bantam_status bantam_pool_set_priority(const struct bantam_pool *pool,
                                       int32_t priority,
                                       struct bantam_error *error);
bantam_status bantam_pool_free(struct bantam_pool *pool);
bantam_status bantam_model_open(const char *path,
                                size_t path_bytes,
                                const struct bantam_model_options *options,
                                struct bantam_model **out,
                                struct bantam_error *error);
bantam_status bantam_model_open_fd(int32_t fd,
                                   uint64_t offset,
                                   uint64_t length,
                                   const struct bantam_model_options *options,
                                   struct bantam_model **out,
                                   struct bantam_error *error);
bantam_status bantam_model_open_memory(const void *bytes,
                                       size_t length,
                                       const struct bantam_model_options *options,
                                       struct bantam_model **out,
                                       struct bantam_error *error);
bantam_status bantam_model_open_parts(const struct bantam_part *parts,
                                      size_t count,
                                      const struct bantam_model_options *options,
                                      struct bantam_model **out,
                                      struct bantam_error *error);
bantam_status bantam_model_warm(const struct bantam_model *model,
                                const struct bantam_cancel *cancel,
                                bantam_progress progress,
                                void *progress_user,
                                struct bantam_error *error);
bantam_status bantam_model_get_info(const struct bantam_model *model,
                                    struct bantam_model_info *info,
                                    struct bantam_error *error);
bantam_status bantam_model_resident_bytes(const struct bantam_model *model,
                                          uint64_t *bytes,
                                          struct bantam_error *error);
bantam_status bantam_model_free(struct bantam_model *model);
bantam_status bantam_model_metadata_count(const struct bantam_model *model,
                                          size_t *count,
                                          struct bantam_error *error);
bantam_status bantam_model_metadata_at(const struct bantam_model *model,
                                       size_t i,
                                       const char **key,
                                       size_t *key_bytes,
                                       struct bantam_value *value,
                                       struct bantam_error *error);
bantam_status bantam_model_metadata(const struct bantam_model *model,
                                    const char *key,
                                    size_t key_bytes,
                                    struct bantam_value *value,
                                    struct bantam_error *error);
bantam_status bantam_model_metadata_element(const struct bantam_model *model,
                                            const char *key,
                                            size_t key_bytes,
                                            size_t i,
                                            struct bantam_value *value,
                                            struct bantam_error *error);
bantam_status bantam_model_tensor_count(const struct bantam_model *model,
                                        size_t *count,
                                        struct bantam_error *error);
bantam_status bantam_model_tensor_at(const struct bantam_model *model,
                                     size_t i,
                                     struct bantam_tensor *tensor,
                                     struct bantam_error *error);
bantam_status bantam_model_tokenize(const struct bantam_model *model,
                                    const char *text,
                                    size_t text_bytes,
                                    uint32_t flags,
                                    uint32_t *tokens,
                                    size_t capacity,
                                    size_t *count,
                                    struct bantam_error *error);
bantam_status bantam_model_detokenize(const struct bantam_model *model,
                                      const uint32_t *tokens,
                                      size_t count,
                                      uint32_t flags,
                                      char *text,
                                      size_t capacity,
                                      size_t *text_bytes,
                                      struct bantam_error *error);
bantam_status bantam_model_token(const struct bantam_model *model,
                                 uint32_t token,
                                 struct bantam_token_info *info,
                                 struct bantam_error *error);
bantam_status bantam_sampler_new(const struct bantam_model *model,
                                 const struct bantam_sampler_options *options,
                                 struct bantam_sampler **out,
                                 struct bantam_error *error);
bantam_status bantam_sampler_reset(struct bantam_sampler *sampler, struct bantam_error *error);
bantam_status bantam_sampler_free(struct bantam_sampler *sampler);
bantam_status bantam_session_plan(const struct bantam_model *model,
                                  const struct bantam_session_options *options,
                                  struct bantam_plan *plan,
                                  struct bantam_error *error);
bantam_status bantam_session_open(const struct bantam_model *model,
                                  const struct bantam_session_options *options,
                                  struct bantam_session **out,
                                  struct bantam_error *error);
bantam_status bantam_session_get_info(struct bantam_session *session,
                                      struct bantam_session_info *info,
                                      struct bantam_error *error);
bantam_status bantam_session_set_cancel(struct bantam_session *session,
                                        const struct bantam_cancel *cancel,
                                        struct bantam_error *error);
bantam_status bantam_session_set_threads(struct bantam_session *session,
                                         size_t threads,
                                         struct bantam_error *error);
bantam_status bantam_session_set_priority(struct bantam_session *session,
                                          int32_t priority,
                                          struct bantam_error *error);
bantam_status bantam_session_free(struct bantam_session *session);
bantam_status bantam_session_prompt(struct bantam_session *session,
                                    const uint32_t *tokens,
                                    size_t count,
                                    size_t *read,
                                    struct bantam_error *error);
bantam_status bantam_session_prompt_text(struct bantam_session *session,
                                         const char *text,
                                         size_t text_bytes,
                                         uint32_t flags,
                                         size_t *read,
                                         struct bantam_error *error);
bantam_status bantam_session_prefill(struct bantam_session *session,
                                     const uint32_t *tokens,
                                     size_t count,
                                     struct bantam_error *error);
bantam_status bantam_session_decode(struct bantam_session *session,
                                    uint32_t token,
                                    struct bantam_error *error);
bantam_status bantam_session_decode_together(struct bantam_session *const *sessions,
                                             const uint32_t *tokens,
                                             size_t count,
                                             struct bantam_error *error);
bantam_status bantam_session_tokens(struct bantam_session *session,
                                    const uint32_t **tokens,
                                    size_t *count,
                                    struct bantam_error *error);
bantam_status bantam_session_logits(struct bantam_session *session,
                                    const float **logits,
                                    size_t *count,
                                    struct bantam_error *error);
bantam_status bantam_session_rewind(struct bantam_session *session,
                                    size_t position,
                                    struct bantam_error *error);
bantam_status bantam_session_shift(struct bantam_session *session,
                                   size_t keep,
                                   size_t discard,
                                   struct bantam_error *error);
bantam_status bantam_session_sample(struct bantam_session *session,
                                    struct bantam_sampler *sampler,
                                    struct bantam_choice *choice,
                                    struct bantam_error *error);
bantam_status bantam_session_top_logprobs(struct bantam_session *session,
                                          struct bantam_token_logprob *out,
                                          size_t capacity,
                                          size_t *count,
                                          struct bantam_error *error);
bantam_status bantam_session_fork(struct bantam_session *session,
                                  struct bantam_session **out,
                                  struct bantam_error *error);
bantam_status bantam_session_copy(struct bantam_session *to,
                                  struct bantam_session *from,
                                  struct bantam_error *error);
bantam_status bantam_session_save(struct bantam_session *session,
                                  const char *path,
                                  size_t path_bytes,
                                  struct bantam_error *error);
bantam_status bantam_session_restore(struct bantam_session *session,
                                     const char *path,
                                     size_t path_bytes,
                                     struct bantam_error *error);
bantam_status bantam_session_save_to(struct bantam_session *session,
                                     void *memory,
                                     size_t capacity,
                                     size_t *written,
                                     struct bantam_error *error);
bantam_status bantam_session_restore_from(struct bantam_session *session,
                                          const void *memory,
                                          size_t bytes,
                                          struct bantam_error *error);
bantam_status bantam_session_trim(struct bantam_session *session,
                                  int32_t level,
                                  const char *path,
                                  size_t path_bytes,
                                  size_t *released,
                                  struct bantam_error *error);
bantam_status bantam_session_begin(struct bantam_session *session,
                                   const struct bantam_answer_options *options,
                                   struct bantam_error *error);
bantam_status bantam_session_next(struct bantam_session *session,
                                  struct bantam_piece *piece,
                                  struct bantam_error *error);
bantam_status bantam_session_get_summary(struct bantam_session *session,
                                         struct bantam_summary *summary,
                                         struct bantam_error *error);
bantam_status bantam_session_generate(struct bantam_session *session,
                                      const struct bantam_answer_options *options,
                                      bantam_on_piece on_piece,
                                      void *user,
                                      struct bantam_summary *summary,
                                      struct bantam_error *error);
bantam_status bantam_grammar_new(const struct bantam_model *model,
                                 int32_t kind,
                                 const char *source,
                                 size_t source_bytes,
                                 struct bantam_grammar **out,
                                 struct bantam_error *error);
bantam_status bantam_grammar_free(struct bantam_grammar *grammar);
bantam_status bantam_chat_new(const struct bantam_model *model,
                              const struct bantam_chat_options *options,
                              struct bantam_chat **out,
                              struct bantam_error *error);
bantam_status bantam_chat_add(struct bantam_chat *chat,
                              int32_t role,
                              const char *text,
                              size_t text_bytes,
                              struct bantam_error *error);
bantam_status bantam_chat_add_json(struct bantam_chat *chat,
                                   const char *messages,
                                   size_t messages_bytes,
                                   struct bantam_error *error);
bantam_status bantam_chat_add_answer(struct bantam_chat *chat,
                                     const char *text,
                                     size_t text_bytes,
                                     int32_t is_complete,
                                     const char **json,
                                     size_t *json_bytes,
                                     struct bantam_error *error);
bantam_status bantam_chat_count(struct bantam_chat *chat,
                                size_t *count,
                                size_t *left_out,
                                struct bantam_error *error);
bantam_status bantam_chat_truncate(struct bantam_chat *chat, size_t count, struct bantam_error *error);
bantam_status bantam_chat_render(struct bantam_chat *chat,
                                 const char **text,
                                 size_t *text_bytes,
                                 struct bantam_error *error);
bantam_status bantam_chat_prompt(struct bantam_chat *chat,
                                 struct bantam_session *session,
                                 size_t *read,
                                 struct bantam_error *error);
bantam_status bantam_chat_grammar(struct bantam_chat *chat,
                                  const struct bantam_model *model,
                                  const char *choice,
                                  size_t choice_bytes,
                                  struct bantam_grammar **out,
                                  struct bantam_error *error);
bantam_status bantam_chat_free(struct bantam_chat *chat);
#ifdef __cplusplus
}
#endif
#endif
